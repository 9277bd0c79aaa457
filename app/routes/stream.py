"""Live streams: camera and microphone in, current emotions out, over one WebSocket (`/v1/stream`).

A browser that needs a key calls `POST /v1/tickets` with `{"purpose": "stream"}` first and opens `/v1/stream?ticket=…`,
which works once. A program may send `Authorization: Bearer KEY`.

The first message of the client is text: `{"options": {…}}`, with the options of a job. A live stream uses those in
`ml.results.LIVE_OPTIONS` and lists the others in `warnings`. All further messages are binary: byte 1 is 1 (JPEG) or 2
(PCM s16le, 16 kHz, mono), bytes 2–9 are the time in seconds since the start of the stream (float64, little-endian), the
rest is the payload. The client ends the stream by closing the socket.

The server sends JSON text. `type` is one of:

- `{"type": "ready", "labels": […], "bundle": "default", "warnings": [{"code", "message"}]}`: the client may send.
- `{"type": "update", "time": 3.2, "width": 640, "height": 480, "faces": [{"track", "box": {"x", "y", "width",
  "height"}, "score", "emotion", "probabilities"}], "emotion": "happy" or null, "confidence", "probabilities",
  "modalities": {"face": {"probabilities", "coverage"} or null, "audio": {"probabilities", "speech"} or null},
  "missing": ["text"], "dropped": 12, "latency": 0.08 or null}`: at least once a second. Every reading has `labels_90`
  and `uncertain`, as in a result.
- `{"type": "error", "problem": {…}}`: an RFC 9457 problem. The connection closes right after it.

Close codes: 1000 the client ended the stream; 1001 no message arrived in time; 1003 invalid message; 1008 key, ticket
or origin rejected; 1009 message too large; 1011 the worker was lost; 1012 the worker is shutting down: connect again;
1013 no live worker is free, or too many streams: try again later.
"""

from fastapi import APIRouter, WebSocket
from redis.exceptions import RedisError
from starlette.status import WS_1008_POLICY_VIOLATION, WS_1013_TRY_AGAIN_LATER

from app.dependencies import identify_viewer
from app.errors import RateLimited, Unauthorized
from app.http.concurrency_limit import ConcurrencyLimit
from app.http.security import LOCAL_ONLY, is_local, is_own_origin
from app.services.streams import LiveStreams, StreamClosed, close_with_problem, queue_unavailable
from app.services.tickets import TicketUse

router = APIRouter(tags=["live"])


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Accept the socket, then authenticate: before the handshake, a browser would not show the page the reason."""
    await socket.accept()
    try:
        owner = await _authenticate(socket)
        streams: LiveStreams = socket.app.state.streams
        concurrency: ConcurrencyLimit = socket.app.state.concurrency
        with concurrency.enter(owner):
            await streams.serve(socket, owner)
    except Unauthorized as error:
        await close_with_problem(socket, StreamClosed.from_error(WS_1008_POLICY_VIOLATION, error))
    except RateLimited as error:
        await close_with_problem(socket, StreamClosed.from_error(WS_1013_TRY_AGAIN_LATER, error))
    except RedisError:
        await close_with_problem(socket, queue_unavailable())


async def _authenticate(socket: WebSocket) -> str:
    """Return the caller's name. Raises Unauthorized, RateLimited, RedisError."""
    if not is_own_origin(socket.headers):
        raise Unauthorized("Only pages of this service may open its streams.")
    if not socket.app.state.settings.api_keys and not is_local(socket.scope):
        raise Unauthorized(LOCAL_ONLY)
    return await identify_viewer(socket, socket.query_params.get("ticket"), TicketUse("stream"))

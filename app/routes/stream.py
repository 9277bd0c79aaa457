"""Live: camera and microphone in, how things stand out, over one WebSocket (`/v1/stream`).

A browser that needs a key asks `POST /v1/tickets` first and opens `/v1/stream?ticket=…`; a program may send
`Authorization: Bearer KEY`.

The client sends, first, as text: `{"options": {…}}` (options of a job; live are `modalities`, `classes`, `max_faces`,
`window_seconds` and `frame_rate`, the rest is told in `warnings`), then binary messages: byte 1 is 1 (JPEG) or 2 (PCM
s16le, 16 kHz, mono), bytes 2–9 the time in seconds since it began (float64, little-endian), the rest the payload. It
ends by closing.

The server sends text, JSON, told apart by `type`:

- `{"type": "ready", "labels": […], "bundle": "default", "warnings": [{"code", "message"}]}`: send now.
- `{"type": "update", "time": 3.2, "width": 640, "height": 480, "faces": [{"track", "box": {"x", "y", "width",
  "height"}, "score", "emotion", "probabilities"}], "emotion": "happy" or null, "confidence", "probabilities",
  "modalities": {"face": {"probabilities", "coverage"} or null, "audio": {"probabilities", "speech"} or null},
  "missing": ["text"], "dropped": 12, "latency": 0.08 or null}`: at least once a second.
- `{"type": "error", "problem": {…}}`: an RFC 9457 problem; the connection is closed right after.

Close codes: 1000 the client ended; 1001 nothing came for too long; 1003 a message that is none; 1008 key, ticket or
origin refused; 1009 a message too large; 1011 the worker was lost; 1012 the worker shuts down: connect again; 1013 no
live worker, or too many streams: try later.
"""

from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket
from redis.exceptions import RedisError

from app.dependencies import viewer_of
from app.errors import RateLimited, Unauthorized, problem_from
from app.http.security import is_local
from app.services.streams import REFUSED, TRY_LATER, StreamEnded, Streams, ended, refuse

router = APIRouter(tags=["live"])


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Refusals come after the handshake: before it, a browser shows no page why."""
    await socket.accept()
    try:
        owner = await _owner(socket)
    except Unauthorized as error:
        await refuse(socket, StreamEnded(REFUSED, problem_from(error)))
        return
    except RateLimited as error:
        await refuse(socket, StreamEnded(TRY_LATER, problem_from(error)))
        return
    except RedisError:
        await refuse(socket, ended(TRY_LATER, "queue_unavailable", "The job queue cannot be reached."))
        return
    streams: Streams = socket.app.state.streams
    await streams.serve(socket, owner)


async def _owner(socket: WebSocket) -> str:
    """Raises Unauthorized, RateLimited, RedisError."""
    settings = socket.app.state.settings
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != socket.headers.get("host", "").lower():
        raise Unauthorized("Only pages of this service may open its streams.")
    if not settings.api_keys and not is_local(socket.scope):
        raise Unauthorized("Without API keys this service answers only to programs and pages of its own machine.")
    return await viewer_of(socket, socket.query_params.get("ticket"))

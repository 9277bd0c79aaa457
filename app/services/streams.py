"""Live streams: relays messages between a client's WebSocket and a live worker."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.status import (
    WS_1000_NORMAL_CLOSURE,
    WS_1001_GOING_AWAY,
    WS_1003_UNSUPPORTED_DATA,
    WS_1009_MESSAGE_TOO_BIG,
    WS_1011_INTERNAL_ERROR,
    WS_1012_SERVICE_RESTART,
    WS_1013_TRY_AGAIN_LATER,
)
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.errors import (
    InvalidOptions,
    Problem,
    QueueUnavailable,
    RateLimited,
    ValidationFailed,
    describe_faults,
    faults_from,
    problem_from,
)
from app.http.token_bucket import TokenBucket
from app.services.readiness import Readiness
from app.settings import Settings
from ml.errors import AffectError, FileTooLarge
from workers.protocol.broker import send_wake_up_if_needed
from workers.protocol.live.messages import Ended, MessageInvalid, Packet, Ready, Start, Update, parse_worker_message
from workers.protocol.live.streams import STREAM_RENEW_SECONDS, GatewayStreams
from workers.protocol.records import Failure

START_TIMEOUT_SECONDS = 10.0
"""Seconds to wait for the client's first message, and then for a worker's first answer."""
MAX_START_BYTES = 65_536
"""Maximum bytes of the client's first message."""
MAX_SOUND_RATE = 2.0
"""Maximum seconds of sound per second that a stream relays to its worker. Sound above it is dropped."""
SOUND_BURST_SECONDS = 20.0
"""Seconds of sound that may arrive at once, as after a gap in the client's network."""
UPDATE_TIMEOUT_SECONDS = 10.0
"""Seconds without an update after which the worker is considered lost."""
MAX_PENDING_FRAMES = 64
"""Frames with a recorded arrival time, from which the latency of an update is measured."""


class StreamClosed(Exception):
    """The gateway ends the stream, with a WebSocket close code and a problem that explains it."""

    def __init__(self, close_code: int, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.close_code = close_code
        self.problem = problem

    @classmethod
    def from_error(cls, close_code: int, error: AffectError) -> Self:
        """Return the exception that ends the stream because of an error."""
        return cls(close_code, problem_from(error))


async def close_with_problem(socket: WebSocket, closed: StreamClosed) -> None:
    """Send the problem and close. A client that has already disconnected is ignored."""
    with suppress(WebSocketDisconnect, RuntimeError):
        problem = closed.problem.model_dump(mode="json", exclude_none=True)
        await socket.send_json({"type": "error", "problem": problem})
        await socket.close(closed.close_code)


class LiveStreams:
    """Serves the live streams of one gateway."""

    def __init__(self, streams: GatewayStreams, readiness: Readiness, celery: Celery, settings: Settings) -> None:
        self._streams, self._readiness, self._celery, self._settings = streams, readiness, celery, settings

    async def serve(self, socket: WebSocket, owner: str) -> None:
        """Serve an accepted socket from its first message to its end. Errors of the client, a worker or Redis close the
        socket and are not raised."""
        try:
            await self._serve(socket, owner)
        except StreamClosed as closed:
            await close_with_problem(socket, closed)
        except RedisError:
            await close_with_problem(socket, queue_unavailable())
        except WebSocketDisconnect:
            pass

    async def _serve(self, socket: WebSocket, owner: str) -> None:
        start = await self._receive_start(socket)
        if not await run_in_threadpool(self._readiness.has_live_worker):
            raise queue_unavailable("No worker for live streams is running.")
        max_streams = self._settings.live_per_key
        stream = await self._streams.open_stream(owner, start.options, max_streams)
        if stream is None:
            error = RateLimited(f"At most {max_streams} live streams may run at once.")
            raise StreamClosed.from_error(WS_1013_TRY_AGAIN_LATER, error)
        try:
            try:
                await run_in_threadpool(send_wake_up_if_needed, self._celery, "live")
            except OperationalError as error:
                raise queue_unavailable() from error
            relay = _StreamRelay(socket, self._streams, stream, owner, self._settings)
            await _run_until_first_ends(relay.receive_loop(), relay.send_loop(), relay.keep_alive_loop())
        finally:
            await asyncio.shield(self._streams.close_stream(owner, stream))

    async def _receive_start(self, socket: WebSocket) -> Start:
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                message = await _receive(socket)
            if not isinstance(message, str):
                raise StreamClosed.from_error(
                    WS_1003_UNSUPPORTED_DATA,
                    ValidationFailed('The first message must be JSON text: {"options": {…}}.'),
                )
            if len(message) > MAX_START_BYTES:
                raise StreamClosed.from_error(
                    WS_1009_MESSAGE_TOO_BIG, FileTooLarge(f"The first message has more than {MAX_START_BYTES} bytes.")
                )
            return Start.model_validate_json(message)
        except TimeoutError:
            raise StreamClosed.from_error(
                WS_1001_GOING_AWAY, ValidationFailed("The first message did not arrive in time.")
            ) from None
        except ValidationError as error:
            faults = faults_from(error)
            invalid = InvalidOptions(describe_faults(faults), errors=faults)
            raise StreamClosed.from_error(WS_1003_UNSUPPORTED_DATA, invalid) from None


class _StreamRelay:
    """Relay of one stream. Each of its three loops runs until the stream ends, and raises what ended it."""

    def __init__(self, socket: WebSocket, streams: GatewayStreams, stream: str, owner: str, settings: Settings) -> None:
        self._socket, self._streams, self._stream, self._owner = socket, streams, stream, owner
        self._settings = settings
        self._frame_count = 0
        self._last_frame_at = 0.0
        self._arrival_times: dict[int, float] = {}
        self._sound = TokenBucket(MAX_SOUND_RATE, SOUND_BURST_SECONDS, asyncio.get_running_loop().time())

    async def receive_loop(self) -> None:
        """Relay the client's messages to the worker. Frames above the frame rate limit are dropped; the worker counts
        them, as frames are numbered. Sound that arrives much faster than in real time is dropped too."""
        while True:
            packet = await self._receive_packet()
            now = asyncio.get_running_loop().time()
            if packet.kind == "sound":
                if not self._sound.try_spend(packet.sound_seconds, now):
                    continue
            else:
                self._frame_count += 1
                if now - self._last_frame_at < 1 / self._settings.live_frame_rate:
                    continue
                self._last_frame_at = now
                self._arrival_times[self._frame_count] = now
                for number in list(self._arrival_times)[:-MAX_PENDING_FRAMES]:
                    del self._arrival_times[number]
            await self._streams.send(self._stream, packet, self._frame_count)

    async def _receive_packet(self) -> Packet:
        try:
            async with asyncio.timeout(self._settings.live_idle_seconds):
                message = await _receive(self._socket)
        except TimeoutError:
            seconds = self._settings.live_idle_seconds
            raise StreamClosed.from_error(
                WS_1001_GOING_AWAY, ValidationFailed(f"No message arrived for {seconds:g} seconds.")
            ) from None
        if isinstance(message, str):
            raise StreamClosed.from_error(
                WS_1003_UNSUPPORTED_DATA, ValidationFailed("All messages after the first must be binary.")
            )
        if len(message) > self._settings.live_message_bytes:
            max_bytes = self._settings.live_message_bytes
            raise StreamClosed.from_error(
                WS_1009_MESSAGE_TOO_BIG, FileTooLarge(f"A message may have at most {max_bytes} bytes.")
            )
        try:
            return Packet.parse(message)
        except MessageInvalid as error:
            raise StreamClosed.from_error(WS_1003_UNSUPPORTED_DATA, error) from None

    async def send_loop(self) -> None:
        """Relay the worker's messages to the client."""
        last_id, timeout = "", START_TIMEOUT_SECONDS
        while True:
            received = await self._streams.receive(self._stream, last_id, timeout)
            if not received:
                if not last_id:
                    raise queue_unavailable("All live workers are busy.")
                raise _worker_lost(WS_1011_INTERNAL_ERROR, "The worker of this stream was lost.")
            timeout = UPDATE_TIMEOUT_SECONDS
            for entry in received:
                last_id = entry.id
                await self._forward(parse_worker_message(entry.message), entry.frame)

    async def _forward(self, message: Ready | Update | Ended, frame: int | None) -> None:
        if isinstance(message, Ended):
            raise _closed_by_worker(message.failure)
        if isinstance(message, Update) and frame is not None and frame in self._arrival_times:
            latency = asyncio.get_running_loop().time() - self._arrival_times.pop(frame)
            message = message.model_copy(update={"latency": round(latency, 4)})
        await self._socket.send_text(message.model_dump_json())

    async def keep_alive_loop(self) -> None:
        """Renew the stream's records in Redis, which otherwise expire."""
        while True:
            await asyncio.sleep(STREAM_RENEW_SECONDS)
            await self._streams.renew_stream(self._owner, self._stream)


def queue_unavailable(detail: str = "The job queue cannot be reached.") -> StreamClosed:
    """Return the exception for a service that cannot take the stream now."""
    return StreamClosed.from_error(WS_1013_TRY_AGAIN_LATER, QueueUnavailable(detail))


def _worker_lost(close_code: int, detail: str) -> StreamClosed:
    return StreamClosed(close_code, Problem.from_code("worker_lost", detail, retryable=True))


def _closed_by_worker(failure: Failure | None) -> StreamClosed:
    if failure is None:
        return _worker_lost(WS_1012_SERVICE_RESTART, "The worker is shutting down: connect again.")
    problem = Problem.from_code(failure.code, failure.message, stage=failure.stage, retryable=failure.retryable)
    is_internal = failure.code == "internal_error"
    return StreamClosed(WS_1011_INTERNAL_ERROR if is_internal else WS_1003_UNSUPPORTED_DATA, problem)


async def _receive(socket: WebSocket) -> str | bytes:
    """Return the client's next message. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", WS_1000_NORMAL_CLOSURE), message.get("reason"))
    text, data = message.get("text"), message.get("bytes")
    return text if text is not None else data or b""


async def _run_until_first_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, cancel the others, and raise what the first one raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

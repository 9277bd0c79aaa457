"""Live streams: from a client's WebSocket to a live worker and back."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.errors import Problem, faults_from
from app.services.readiness import Readiness
from app.settings import Settings
from workers.protocol.broker import wake
from workers.protocol.live.messages import Ended, MessageInvalid, Packet, Ready, Start, Update, from_worker
from workers.protocol.live.streams import RENEW_SECONDS, LiveLine
from workers.protocol.records import Failure

START_SECONDS = 10.0
"""For which the first message, and then a worker's answer, may be waited for."""
SILENCE_SECONDS = 10.0
"""After so long without an update the worker is lost."""
MOST_ARRIVALS = 64

ENDED, AWAY, NO_MESSAGE, REFUSED, TOO_LARGE, LOST, RESTARTS, TRY_LATER = (
    1000,
    1001,
    1003,
    1008,
    1009,
    1011,
    1012,
    1013,
)
"""Close codes of RFC 6455, section 7.4.1, and of IANA's registry."""


class StreamEnded(Exception):
    """The stream ends by our side: with a close code, and a problem that says why."""

    def __init__(self, close_code: int, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.close_code = close_code
        self.problem = problem


def ended(close_code: int, code: str, detail: str, **extra: Any) -> StreamEnded:
    return StreamEnded(close_code, Problem.from_code(code, detail, **extra))


async def refuse(socket: WebSocket, end: StreamEnded) -> None:
    """Tells why, and closes. An accepted socket that the client has left is no matter."""
    with suppress(WebSocketDisconnect, RuntimeError):
        problem = end.problem.model_dump(mode="json", exclude_none=True)
        await socket.send_json({"type": "error", "problem": problem})
        await socket.close(end.close_code)


class Streams:
    """The live streams of one gateway."""

    def __init__(self, line: LiveLine, fleet: Readiness, celery: Celery, settings: Settings) -> None:
        self._line, self._fleet, self._celery, self._settings = line, fleet, celery, settings

    async def serve(self, socket: WebSocket, owner: str) -> None:
        """Runs a stream from its first message to its end; the socket is accepted. Never raises what a client or a
        worker does."""
        try:
            await self._serve(socket, owner)
        except StreamEnded as end:
            await refuse(socket, end)
        except RedisError:
            await refuse(socket, ended(TRY_LATER, "queue_unavailable", "The job queue cannot be reached."))
        except WebSocketDisconnect:
            pass

    async def _serve(self, socket: WebSocket, owner: str) -> None:
        start = await self._start(socket)
        if not await run_in_threadpool(self._fleet.has_live_worker):
            raise ended(TRY_LATER, "queue_unavailable", "No worker reads live streams here at the moment.")
        stream = await self._line.open_stream(owner, start.options, self._settings.live_per_key)
        if stream is None:
            most = self._settings.live_per_key
            raise ended(TRY_LATER, "rate_limited", f"Not more than {most} live streams at once.")
        try:
            await run_in_threadpool(self._wake)
            call = _Call(socket, self._line, stream, owner, self._settings)
            await _first_of(call.take_in(), call.give_back(), call.stay())
        finally:
            await asyncio.shield(self._line.end(owner, stream))

    async def _start(self, socket: WebSocket) -> Start:
        try:
            async with asyncio.timeout(START_SECONDS):
                message = await _received(socket)
            if not isinstance(message, str):
                raise ended(NO_MESSAGE, "validation_failed", 'The first message is JSON text: {"options": {…}}.')
            return Start.model_validate_json(message)
        except TimeoutError:
            raise ended(AWAY, "validation_failed", "No first message came.") from None
        except ValidationError as error:
            faults = faults_from(error.errors())
            detail = "; ".join(f"{fault.location}: {fault.message}" for fault in faults)
            raise ended(NO_MESSAGE, "invalid_options", detail, errors=faults) from None

    def _wake(self) -> None:
        try:
            wake(self._celery, "live")
        except OperationalError as error:
            raise ended(TRY_LATER, "queue_unavailable", "The job queue cannot be reached.") from error


class _Call:
    """One stream under way. Each of its three parts runs until the stream is over, and raises what ended it."""

    def __init__(self, socket: WebSocket, line: LiveLine, stream: str, owner: str, settings: Settings) -> None:
        self._socket, self._line, self._stream, self._owner = socket, line, stream, owner
        self._settings = settings
        self._frames = 0
        self._passed_at = 0.0
        self._arrivals: dict[int, float] = {}

    async def take_in(self) -> None:
        """From the client to the worker. More frames than the limit are dropped, which the worker counts."""
        while True:
            packet = await self._packet()
            if packet.kind == "frame":
                self._frames += 1
                now = asyncio.get_running_loop().time()
                if now - self._passed_at < 1 / self._settings.live_frame_rate:
                    continue
                self._passed_at = now
                self._arrivals[self._frames] = now
                for number in list(self._arrivals)[:-MOST_ARRIVALS]:
                    del self._arrivals[number]
            await self._line.put(self._stream, packet, self._frames)

    async def _packet(self) -> Packet:
        try:
            async with asyncio.timeout(self._settings.live_idle_seconds):
                message = await _received(self._socket)
        except TimeoutError:
            seconds = self._settings.live_idle_seconds
            raise ended(AWAY, "validation_failed", f"Nothing came for {seconds:g} seconds.") from None
        if isinstance(message, str):
            raise ended(NO_MESSAGE, "validation_failed", "After the first message all are binary.")
        if len(message) > self._settings.live_message_bytes:
            most = self._settings.live_message_bytes
            raise ended(TOO_LARGE, "file_too_large", f"A message has at most {most} bytes.")
        try:
            return Packet.parse(message)
        except MessageInvalid as error:
            raise ended(NO_MESSAGE, error.code, error.message) from None

    async def give_back(self) -> None:
        """From the worker to the client."""
        last, patience = "", START_SECONDS
        while True:
            answers = await self._line.answers(self._stream, last, patience)
            if not answers:
                raise self._silence(last)
            patience = SILENCE_SECONDS
            for answer in answers:
                last = answer.id
                await self._forward(from_worker(answer.message), answer.frame)

    async def _forward(self, said: Ready | Update | Ended, frame: int | None) -> None:
        if isinstance(said, Ended):
            raise _end_of(said.failure)
        if isinstance(said, Update) and frame is not None and frame in self._arrivals:
            waited = asyncio.get_running_loop().time() - self._arrivals.pop(frame)
            said = said.model_copy(update={"latency": round(waited, 4)})
        await self._socket.send_text(said.model_dump_json())

    def _silence(self, last: str) -> StreamEnded:
        if not last:
            return ended(TRY_LATER, "queue_unavailable", "All live workers are busy.")
        return ended(LOST, "worker_lost", "The worker that read this stream was lost.", retryable=True)

    async def stay(self) -> None:
        """Says that the stream lives."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._line.renew_stream(self._owner, self._stream)


def _end_of(failure: Failure | None) -> StreamEnded:
    if failure is None:
        return ended(RESTARTS, "worker_lost", "The worker shuts down; connect again.", retryable=True)
    problem = Problem.from_code(failure.code, failure.message, stage=failure.stage, retryable=failure.retryable)
    return StreamEnded(LOST if failure.code == "internal_error" else NO_MESSAGE, problem)


async def _received(socket: WebSocket) -> str | bytes:
    """The next message. Raises WebSocketDisconnect."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", ENDED), message.get("reason"))
    text, data = message.get("text"), message.get("bytes")
    return text if text is not None else data or b""


async def _first_of(*parts: Coroutine[Any, Any, None]) -> None:
    """Runs all until one ends, which ends the others; raises what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()

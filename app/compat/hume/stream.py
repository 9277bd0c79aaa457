"""Stream of small media and texts, as Hume's SDK sends them: each message is a job, whose predictions are the answer.

A message is JSON: `data` (media in base64, or with `raw_text` a text), `models`, `stream_window_ms`, `reset_stream`,
`job_details`, `payload_id`. Messages are answered in their order. The job of a message is deleted when it is answered.
"""

import asyncio
import base64
import binascii
import hashlib
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.status import WS_1001_GOING_AWAY, WS_1009_MESSAGE_TOO_BIG
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.compat.hume.dependencies import identify_hume_caller
from app.compat.hume.errors import hume_error
from app.compat.hume.predictions import media_predictions, text_predictions
from app.compat.hume.requests import media_options, parse, refuse_unsupported
from app.compat.hume.schemas import HumeModelPredictions, HumeRequest
from app.compat.hume.sound_window import SoundWindow
from app.compat.hume.stream_messages import HumeStreamMessage, answer_of
from app.compat.hume.texts import text_media, text_options
from app.errors import (
    JobFailed,
    Problem,
    Unauthorized,
    ValidationFailed,
    describe_faults,
    faults_from,
    problem_from,
)
from app.http.concurrency_limit import ConcurrencyLimit
from app.http.security import LOCAL_ONLY, is_local, is_own_origin
from app.services.job_form import BlobSink
from app.services.jobs import MAX_WAIT_SECONDS, JobQueries
from app.services.submission import SMALL_IMAGE_BYTES, JobSubmission, NewJob
from app.settings import Settings
from ml.errors import AffectError, UnsupportedMedia
from ml.results import Options, Result
from ml.signatures import IMAGE_FORMATS, SNIFF_BYTES, describe_refused, format_from_signature
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import JobMedia, JobRequest, new_job_id

STREAM_TAG = "hume-stream"
"""Tag of the jobs of streams, which exist for as long as their message is read."""
NOT_JSON, NOT_BASE64 = "E0100", "E0201"
_NAME = "payload"

router = APIRouter(tags=["hume-compatible"])


@router.websocket("/v0/stream/models")
async def hume_stream(socket: WebSocket) -> None:
    """Authenticate, accept the socket and answer its messages."""
    state = socket.app.state
    try:
        if not is_own_origin(socket.headers):
            raise Unauthorized("Only pages of this service may open its streams.")
        if not state.settings.api_keys and not is_local(socket.scope):
            raise Unauthorized(LOCAL_ONLY)
        owner = await identify_hume_caller(socket)
        concurrency: ConcurrencyLimit = state.concurrency
        with concurrency.enter(owner):
            await socket.accept()
            await _Session(socket, owner, state.hume_stream_jobs, state.settings).run()
    except AffectError as error:
        await _deny(socket, problem_from(error))
    except RedisError:
        await _deny(socket, Problem.from_code("queue_unavailable", "The job queue can't be reached."))


async def _deny(socket: WebSocket, problem: Problem) -> None:
    content = hume_error(problem).model_dump_json(exclude_none=True)
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_denial_response(Response(content, problem.status, media_type="application/json"))


class HumeStreamJobs:
    """Reads payloads as jobs."""

    def __init__(self, submission: JobSubmission, jobs: JobQueries, blobs: BlobStore) -> None:
        self._submission, self._jobs, self._blobs = submission, jobs, blobs

    async def read(
        self, owner: str, content: bytes, options: Options, transcript: str | None = None, is_small: bool = False
    ) -> Result:
        """Return the result of a payload, of which nothing is kept. Raises what `JobSubmission.accept` and
        `JobQueries.result` raise."""
        job_id = new_job_id()
        sink = BlobSink(self._blobs, job_id)
        try:
            await sink.write(content)
            await sink.close()
            media = JobMedia(name=_NAME, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            request = JobRequest(media=media, options=options, transcript=transcript, tags=(STREAM_TAG,))
            await self._submission.accept(owner, [NewJob(job_id, request, len(content), is_small)])
            while (await self._jobs.poll(owner, job_id, MAX_WAIT_SECONDS))[1] is not None:
                pass
            return Result.model_validate_json(await self._jobs.result(owner, job_id))
        finally:
            with suppress(AffectError):
                await asyncio.shield(self._jobs.delete(owner, job_id))


class _Session:
    """One connection."""

    def __init__(self, socket: WebSocket, owner: str, jobs: HumeStreamJobs, settings: Settings) -> None:
        self._socket, self._owner, self._jobs, self._settings = socket, owner, jobs, settings
        self._id = str(uuid.uuid4())
        self._sound = SoundWindow()

    async def run(self) -> None:
        """Answer messages until the client leaves, or sends nothing for too long."""
        with suppress(WebSocketDisconnect):
            while True:
                try:
                    async with asyncio.timeout(self._settings.live_idle_seconds):
                        message = await self._socket.receive()
                except TimeoutError:
                    await self._socket.close(WS_1001_GOING_AWAY)
                    return
                if message["type"] == "websocket.disconnect":
                    return
                sent = message.get("text") or (message.get("bytes") or b"").decode("utf-8", errors="replace")
                if len(sent) > self._settings.live_message_bytes:
                    await self._socket.send_json({"error": "The message is too large.", "code": "file_too_large"})
                    await self._socket.close(WS_1009_MESSAGE_TOO_BIG)
                    return
                await self._socket.send_json(await self._answer(sent))

    async def _answer(self, sent: str) -> dict[str, Any]:
        """Return the answer to a message: predictions, or an error."""
        message = HumeStreamMessage()
        try:
            message = await run_in_threadpool(_parse, sent)
            await identify_hume_caller(self._socket)  # counts the message as a request
            answer: Mapping[str, Any] = await self._read(message)
        except _Refused as error:
            answer = {"error": error.message, "code": error.code}
        except JobFailed as error:
            answer = _error(error.problem)
        except AffectError as error:
            answer = _error(problem_from(error))
        except RedisError:
            answer = _error(Problem.from_code("queue_unavailable", "The job queue can't be reached."))
        details = {"job_details": {"job_id": self._id}} if message.job_details else {}
        names = {"payload_id": message.payload_id} if message.payload_id is not None else {}
        return {**answer, **details, **names}

    async def _read(self, message: HumeStreamMessage) -> dict[str, Any]:
        if message.reset_stream:
            self._sound.reset()
        if message.data is None:
            if message.job_details or message.reset_stream:
                return {}
            raise ValidationFailed("The message has no `data`.")
        if message.models is None or not any(value is not None for _, value in message.models):
            raise ValidationFailed("The message names no `models`.")
        request = message.request()
        refuse_unsupported(request)
        if message.raw_text:
            return answer_of(await self._read_text(message.data, request), request)
        content = await run_in_threadpool(_decode, message.data)
        format = format_from_signature(content[:SNIFF_BYTES])
        if format is None:
            raise UnsupportedMedia(describe_refused(content[:SNIFF_BYTES]))
        seconds_before = 0.0
        if message.stream_window_ms is not None:
            content, seconds_before = await run_in_threadpool(self._sound.extend, content, message.stream_window_ms)
        is_small = format in IMAGE_FORMATS and len(content) <= SMALL_IMAGE_BYTES
        result = await self._jobs.read(self._owner, content, media_options(request), is_small=is_small)
        answer = answer_of(await run_in_threadpool(media_predictions, result, request), request)
        return answer | ({"seconds_before": seconds_before} if seconds_before else {})

    async def _read_text(self, text: str, request: HumeRequest) -> HumeModelPredictions:
        language = request.chosen_models.language
        if language is None:
            raise ValidationFailed("Text is read by models.language, which is not among the models.")
        recording, transcript = await run_in_threadpool(text_media, text)
        result = await self._jobs.read(self._owner, recording, parse(text_options(None)), transcript)
        predictions = text_predictions(
            text, result, language.granularity or "word", with_sentiment=language.sentiment is not None
        )
        return HumeModelPredictions(language=predictions)


class _Refused(Exception):
    """A message is refused with one of Hume's codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _parse(sent: str) -> HumeStreamMessage:
    try:
        return HumeStreamMessage.model_validate_json(sent)
    except ValidationError as error:
        if any(each["type"] == "json_invalid" for each in error.errors(include_input=False, include_context=False)):
            raise _Refused(NOT_JSON, "The message is not valid JSON.") from error
        raise ValidationFailed(describe_faults(faults_from(error))) from error


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Refused(NOT_BASE64, "The data are not base64.") from error


def _error(problem: Problem) -> dict[str, Any]:
    error = hume_error(problem)
    return {"error": error.message, "code": error.code}

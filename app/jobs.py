"""The job service: what the routes offer, without HTTP.

A job is accepted in this order: its media and request are stored, then its record is written to the ledger, then a
worker is woken. Whatever dies in between, no accepted job is lost and no refused one is worked on.
"""

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import BinaryIO

from celery import Celery
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.errors import (
    FAILED_STATUS,
    InvalidOptions,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    JobUnfinished,
    Problem,
    ValidationFailed,
    faults_of,
)
from app.metrics import Metrics
from app.schemas import Job, JobMedia, Links
from app.settings import Settings
from app.uploads import Form, Receiver
from ml.reports.captions import parse_transcript
from ml.results import Options
from workers.wire.blobs import Blobs
from workers.wire.broker import make_celery, wake
from workers.wire.contract import FINAL, JobRecord, JobRequest, media_key, new_job_id, request_key, result_key
from workers.wire.ledger import Ledger

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
RETRY_SECONDS = 1
"""`Retry-After` of an unfinished job."""
_LOOK_SECONDS = 0.15
"""How often a long poll looks at the ledger."""
_MOST_TAG_CHARACTERS = 64
_MOST_FAULTS = 20


def parse_options(text: str) -> Options:
    """Reads the `options` field, strictly: "4" is no number. Raises InvalidOptions, which lists all that is wrong."""
    try:
        return Options.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        faults = faults_of(found[:_MOST_FAULTS], "options")
        raise InvalidOptions(
            "; ".join(f"{fault.location}: {fault.message}" for fault in faults), errors=faults
        ) from error


async def check_field(name: str, value: str) -> None:
    """What can be told from one field alone. Raises InvalidOptions, InvalidTranscript, ValidationFailed."""
    if name == "options":
        parse_options(value)
    elif name == "transcript":
        await run_in_threadpool(parse_transcript, value, None)
    elif not 0 < len(value.strip()) <= _MOST_TAG_CHARACTERS:
        raise ValidationFailed(f"A tag has 1 to {_MOST_TAG_CHARACTERS} characters.")


def request_of(form: Form) -> JobRequest:
    """What a whole form asks for. Raises ValidationFailed."""
    options, transcript = form.one("options"), form.one("transcript")
    if not form.files:
        raise ValidationFailed("Send a file in the field `file`.")
    if transcript is not None and len(form.files) > 1:
        raise ValidationFailed("A transcript belongs to one file: send only one with it.")
    return JobRequest(
        options=parse_options(options) if options is not None else Options(),
        transcript=transcript,
        tags=tuple(tag.strip() for tag in form.fields.get("tag", ())),
    )


def upload_key(job_id: str) -> str:
    """The blob that says what was uploaded: name, size and sha256 of the file."""
    return f"jobs/{job_id}/upload.json"


class UploadAborted(Exception):
    """Tells a half-written blob why it ends."""


class MediaSink:
    """The media blob of one new job, written from threads."""

    def __init__(self, blobs: Blobs, job_id: str) -> None:
        self.job_id = job_id
        self._blobs = blobs
        self._writing = ExitStack()
        self._file: BinaryIO | None = None

    async def write(self, data: bytes) -> None:
        await run_in_threadpool(self._write, data)

    async def close(self) -> None:
        await run_in_threadpool(self._writing.close)

    async def discard(self) -> None:
        await run_in_threadpool(self._discard)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._writing.enter_context(self._blobs.writing(media_key(self.job_id)))
        self._file.write(data)

    def _discard(self) -> None:
        with suppress(UploadAborted), self._writing:
            raise UploadAborted
        self._blobs.delete(job_prefix(self.job_id))


def job_prefix(job_id: str) -> str:
    """Under it lies everything that is stored of a job."""
    return f"jobs/{job_id}"


class Jobs:
    """All that can be done with jobs. An owner sees its own alone: another's id is as unknown as one that never was."""

    def __init__(self, ledger: Ledger, blobs: Blobs, celery: Celery, settings: Settings, metrics: Metrics) -> None:
        self._ledger, self._blobs, self._celery = ledger, blobs, celery
        self._settings, self._metrics = settings, metrics

    @classmethod
    def connect(cls, settings: Settings, metrics: Metrics) -> "Jobs":
        """Nothing is reached yet: a Redis that is down shows at the first call."""
        ledger = Ledger(Redis.from_url(settings.redis_url), settings)
        return cls(ledger, Blobs.of(settings), make_celery(settings), settings, metrics)

    async def submit(self, owner: str, body: AsyncIterable[bytes], boundary: bytes) -> tuple[Job, ...]:
        """Takes an upload: one job for each file, all or none.

        Raises what the form is refused with; `QueueFull`, `RedisError`, or `OSError` when there is no room.
        """
        self._metrics.queue_depth.set(await run_in_threadpool(self._ledger.queued))  # no upload while Redis is away
        sinks: list[MediaSink] = []

        def open_sink() -> MediaSink:
            sinks.append(MediaSink(self._blobs, new_job_id()))
            return sinks[-1]

        async with Receiver(self._settings.upload_limits, open_sink, check_field) as receiver:
            form = await receiver.receive(body, boundary)
            request = request_of(form)
            media = [JobMedia(name=file.name, size=file.size, sha256=file.sha256) for file in form.files]
            jobs = {sink.job_id: file for sink, file in zip(sinks, media, strict=True)}
            await asyncio.shield(run_in_threadpool(self._accept, owner, request, jobs))
            receiver.keep()
        self._metrics.upload_bytes.inc(sum(file.size for file in media))
        self._metrics.jobs_created.inc(len(jobs))
        return tuple([await self.get(owner, job_id) for job_id in jobs])

    def _accept(self, owner: str, request: JobRequest, jobs: dict[str, JobMedia]) -> None:
        for job_id, media in jobs.items():
            self._blobs.put(request_key(job_id), request.model_dump_json().encode())
            self._blobs.put(upload_key(job_id), media.model_dump_json().encode())
        created: list[str] = []
        try:
            for job_id in jobs:
                self._ledger.create(job_id, owner)
                created.append(job_id)
        except Exception:
            with suppress(RedisError):  # what cannot be taken back now has no media, and fails
                for job_id in created:
                    self._ledger.delete(job_id)
            raise
        for _ in jobs:
            self._wake()

    def _wake(self) -> None:
        """A wake-up that is lost loses no job: the ledger holds it, and the next message brings a worker to it."""
        try:
            wake(self._celery)
        except (OperationalError, RedisError):
            logger.warning("a worker could not be woken")

    async def get(self, owner: str, job_id: str, wait: float = 0) -> Job:
        """The job; with `wait`, when it has changed state or so many seconds have passed."""
        record = await self._record(owner, job_id)
        began = asyncio.get_running_loop().time()
        status = record.status
        while record.status == status not in FINAL and asyncio.get_running_loop().time() - began < wait:
            await asyncio.sleep(_LOOK_SECONDS)
            record = await self._record(owner, job_id)
        return await run_in_threadpool(self._job, record)

    async def result(self, owner: str, job_id: str) -> bytes:
        """The result document, as JSON. Raises JobUnfinished, JobFailed, JobCancelled, JobExpired."""
        record = await self._record(owner, job_id)
        if record.status == "failed":
            raise JobFailed(self._problem(record))
        if record.status == "cancelled":
            raise JobCancelled("The job was cancelled: it has no result.")
        if record.status not in FINAL:
            raise JobUnfinished(f"The job is {record.status}.", retry_after=RETRY_SECONDS)
        result = await run_in_threadpool(self._blobs.get, result_key(job_id))
        if result is None:
            raise JobExpired("The job's result is no longer kept.")
        return result

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Stops queued or running work; of an ended job nothing changes."""
        await self._record(owner, job_id)
        await run_in_threadpool(self._ledger.cancel, job_id)
        return await self.get(owner, job_id)

    async def delete(self, owner: str, job_id: str) -> None:
        """Cancels, and erases media, request, result and record."""
        await self._record(owner, job_id)
        await run_in_threadpool(self._delete, job_id)

    def _delete(self, job_id: str) -> None:
        self._ledger.cancel(job_id)
        self._ledger.delete(job_id)
        self._blobs.delete(job_prefix(job_id))

    async def _record(self, owner: str, job_id: str) -> JobRecord:
        record = await run_in_threadpool(self._ledger.get, job_id)
        if record is not None and record.owner == owner:
            return record
        if record is None and await run_in_threadpool(self._ledger.is_expired, job_id):
            raise JobExpired("The job's result is no longer kept.")
        raise JobNotFound("There is no such job.")

    def _job(self, record: JobRecord) -> Job:
        stored = self._blobs.get(request_key(record.id))
        upload = self._blobs.get(upload_key(record.id))
        request = JobRequest.model_validate_json(stored) if stored else JobRequest()
        kept = timedelta(seconds=self._settings.result_ttl)
        path = _path(record.id)
        return Job(
            id=record.id,
            status=record.status,
            stage=record.stage,
            progress=record.progress,
            position=None,
            created_at=record.created_at,
            started_at=record.started_at,
            finished_at=record.finished_at,
            expires_at=record.finished_at + kept if record.finished_at else None,
            media=JobMedia.model_validate_json(upload) if upload else None,
            options=request.options,
            tags=request.tags,
            error=self._problem(record) if record.failure else None,
            links=Links(self=path, result=f"{path}/result", cancel=f"{path}/cancel"),
        )

    @staticmethod
    def _problem(record: JobRecord) -> Problem:
        failure = record.failure
        if failure is None:
            return Problem.of("internal_error", status=FAILED_STATUS, instance=_path(record.id))
        return Problem.of(
            failure.code,
            failure.message,
            status=FAILED_STATUS,
            instance=_path(record.id),
            stage=failure.stage,
            retryable=failure.retryable,
        )

    async def missing(self) -> dict[str, str]:
        """What keeps the service from accepting and doing work: what, and why. Empty: it is ready."""
        checks = {"redis": self._check_redis, "storage": self._check_storage, "workers": self._check_workers}
        reasons = await asyncio.gather(*(run_in_threadpool(check) for check in checks.values()))
        return {name: reason for name, reason in zip(checks, reasons, strict=True) if reason}

    def _check_redis(self) -> str | None:
        try:
            self._metrics.queue_depth.set(self._ledger.queued())
        except RedisError:
            return "Redis does not answer."
        return None

    def _check_storage(self) -> str | None:
        key = f"ready/{new_job_id()}"  # its own, so that two who ask at once do not meet
        try:
            self._blobs.put(key, b"ready")
            self._blobs.delete(key)
        except OSError:
            return "The blob store cannot be written to."
        return None

    def _check_workers(self) -> str | None:
        """A worker answers a ping when it is up, whether or not it is busy with a job."""
        try:
            answers = self._celery.control.ping(timeout=_PING_SECONDS, limit=1)
        except (OperationalError, RedisError, OSError):
            answers = []
        self._metrics.workers.set(len(answers))
        return None if answers else "No worker answers."


_PING_SECONDS = 1.0


def _path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"

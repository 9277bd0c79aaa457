"""The job service: what the routes offer, without HTTP.

A job is accepted in this order: its media and request are stored, then its record is written to the job store, then a
worker is woken. Whatever dies in between, no accepted job is lost and no refused one is worked on.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.errors import (
    FAILED_STATUS,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotFound,
    JobUnfinished,
    Problem,
    TooManyJobs,
)
from app.http.idempotency import idempotent, replayed_jobs, request_fingerprint
from app.http.metrics import Metrics
from app.http.multipart import OpenSink, UploadForm, UploadReader
from app.http.request_context import current_origin
from app.schemas import Job, JobList, Links
from app.services.job_form import BlobSink, NullSink, parse_options, validate_field, validate_form
from app.services.request_cache import RequestCache
from app.services.webhooks import check_webhook
from app.settings import Settings
from ml.results import Options
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import StorageError, full
from workers.protocol.broker import ENOUGH_WAKE_UPS, wake
from workers.protocol.net.ssrf import Egress
from workers.protocol.records import (
    FINAL,
    JobMedia,
    JobRecord,
    JobRequest,
    JobStatus,
    SourceJob,
    WorkerKind,
    job_prefix,
    media_prefix,
    new_job_id,
    parts_prefix,
    request_key,
    result_key,
)
from workers.protocol.store.events import EventReader
from workers.protocol.store.idempotency import Reservation
from workers.protocol.store.job_store import UPLOAD_TTL_SECONDS, JobStore, QueueFull
from workers.protocol.store.webhook_queue import DeliveryLog

logger = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
SMALL_BYTES = 4 * 2**20
"""Of a picture that is read together with others."""
SHORTEST_RETRY, LONGEST_RETRY = 1, 60
"""Seconds that `Retry-After` says."""


class Jobs:
    """All that can be done with jobs. An owner sees its own alone: another's id is as unknown as one that never was."""

    def __init__(
        self, job_store: JobStore, events: EventReader, blobs: Blobs, celery: Celery, settings: Settings, metrics: Metrics
    ) -> None:
        self._job_store, self._events, self._blobs, self._celery = job_store, events, blobs, celery
        self._settings, self._metrics = settings, metrics
        self._egress = Egress.of(settings)
        self._requests = RequestCache(blobs)

    async def submit(
        self, owner: str, body: AsyncIterable[bytes], boundary: bytes, key: str | None = None
    ) -> tuple[Job, ...]:
        """Takes an upload: one job for each file, all or none; or a link, which a worker fetches. With a `key` that was
        used for the same before, those jobs.

        Raises what the form is refused with; `TooManyJobs`, `IdempotencyMismatch`, `IdempotencyInProgress`,
        `RedisError`, or `StorageError`.
        """
        try:
            job_ids = await (self._take_once(owner, body, boundary, key) if key else self._take(owner, body, boundary))
        except QueueFull as error:
            seconds = await run_in_threadpool(self._job_store.estimate_seconds, 1)
            raise TooManyJobs(error.message, retry_after=retry_after(seconds)) from error
        return tuple([await self.get(owner, job_id) for job_id in job_ids])

    async def _take_once(self, owner: str, body: AsyncIterable[bytes], boundary: bytes, key: str) -> Sequence[str]:
        async with idempotent(self._job_store.idempotency, owner, key) as found:
            if isinstance(found, Reservation):
                pledge = replace(found, ttl_seconds=self._settings.idempotency_seconds)
                return await self._take(owner, body, boundary, pledge)
            async with self._receiver(NullSink) as receiver:
                return replayed_jobs(found, await self._form(receiver, owner, body, boundary))

    async def _take(
        self, owner: str, body: AsyncIterable[bytes], boundary: bytes, pledge: Reservation | None = None
    ) -> Sequence[str]:
        await run_in_threadpool(self._check_room, owner)  # else nothing is read at all
        sinks: list[BlobSink] = []

        def open_sink() -> BlobSink:
            sinks.append(BlobSink(self._blobs, new_job_id()))
            return sinks[-1]

        async with self._held(sinks), self._receiver(open_sink) as receiver:
            form = await self._form(receiver, owner, body, boundary)
            receiver.commit()  # the files go with the jobs from here on
            job_ids = [sink.job_id for sink in sinks] or [new_job_id()]  # without a file: of a link
            if pledge:
                pledge = replace(pledge, fingerprint=request_fingerprint(form))
            await asyncio.shield(run_in_threadpool(self._accept, owner, form, job_ids, pledge))
        self._metrics.upload_bytes.inc(sum(file.size for file in form.files))
        self._metrics.jobs_created.inc(len(job_ids))
        for job_id in job_ids:
            logger.info("a job is accepted", extra={"fields": {"job_id": job_id}})
        return job_ids

    def _receiver(self, open_sink: OpenSink) -> UploadReader:
        return UploadReader(self._settings.upload_limits, open_sink, partial(validate_field, self._egress))

    async def _form(
        self, receiver: UploadReader, owner: str, body: AsyncIterable[bytes], boundary: bytes
    ) -> UploadForm:
        form = await receiver.read(body, boundary)
        validate_form(form)
        if (webhook := form.one("webhook_url")) is not None:
            check_webhook(self._settings, owner, webhook)
        return form

    def _check_room(self, owner: str) -> None:
        self._job_store.check_capacity(owner, self._settings.quota)
        if not self._blobs.has_room():
            raise full()

    @asynccontextmanager
    async def _held(self, sinks: list[BlobSink]) -> AsyncIterator[None]:
        """Keeps what a long upload has stored so far from being taken for what a dead gateway left."""

        async def hold() -> None:
            while True:
                await asyncio.sleep(UPLOAD_TTL_SECONDS / 3)
                with suppress(RedisError):
                    for sink in list(sinks):
                        await run_in_threadpool(self._job_store.renew_upload, sink.job_id)

        holding = asyncio.create_task(hold())
        try:
            yield
        finally:
            holding.cancel()

    def _accept(self, owner: str, form: UploadForm, job_ids: list[str], pledge: Reservation | None) -> None:
        try:
            self._create(owner, form, job_ids, pledge)
        except Exception:
            with suppress(RedisError, StorageError):  # what is left is a job after all, or swept up
                self._take_back(job_ids, pledge)
            raise
        for _ in job_ids:
            self._wake(_queue_of(form))

    def _take_back(self, job_ids: list[str], pledge: Reservation | None) -> None:
        """It may not be known whether the job store has them: no answer came."""
        for job_id in job_ids:
            self._job_store.delete(job_id)
            self._blobs.delete(job_prefix(job_id))
        if pledge:
            self._job_store.idempotency.rollback(pledge)

    def _create(self, owner: str, form: UploadForm, job_ids: list[str], pledge: Reservation | None) -> None:
        """Writes the requests, then the records."""
        options, transcript, url = form.one("options"), form.one("transcript"), form.one("url")
        webhook = form.one("webhook_url")
        tags = tuple(tag.strip() for tag in form.fields.get("tag", ()))
        media: list[JobMedia | None] = [
            JobMedia(name=file.name, size=file.size, sha256=file.sha256) for file in form.files
        ] or [None]
        source = self._source(owner, form)
        if source is not None:
            media = [self._requests.get(self._find(owner, source.job_id)).media]
        for job_id, each in zip(job_ids, media, strict=True):
            request = JobRequest(
                media=each,
                url=url,
                source=source,
                options=parse_options(options) if options is not None else Options(),
                transcript=transcript,
                webhook_url=webhook,
                tags=tags,
                origin=current_origin(),
            )
            self._blobs.put(request_key(job_id), request.model_dump_json().encode())
        self._job_store.create(
            job_ids,
            owner,
            tags,
            _queue_of(form),
            webhook=webhook is not None,
            keeps_media=request.options.keep_media,
            sizes=[file.size for file in form.files] or None,
            small=[file.is_picture and file.size <= SMALL_BYTES for file in form.files] or None,
            quota=self._settings.quota,
            reservation=pledge,
        )

    def _source(self, owner: str, form: UploadForm) -> SourceJob | None:
        """The job that is to be read again. Raises JobNotFound, JobUnfinished, JobFailed, JobCancelled, JobExpired."""
        job_id = form.one("source_job")
        if job_id is None:
            return None
        record = self._find_succeeded(owner, job_id)
        if not self._requests.get(record).options.keep_media:
            raise JobExpired("The job's media were not kept: it was posted without `keep_media`.")
        return SourceJob(job_id=job_id, fetched=record.fetched, token=record.token)

    def _wake(self, queue: WorkerKind) -> None:
        """A wake-up that is lost loses no job: the job store holds it, and the upkeep sends another."""
        try:
            if self._job_store.pending_wake_ups(queue) < ENOUGH_WAKE_UPS:
                wake(self._celery, queue)
        except (OperationalError, RedisError):
            logger.warning("a worker could not be woken")

    async def get(self, owner: str, job_id: str) -> Job:
        """Raises what `record` raises."""
        return (await self.poll(owner, job_id))[0]

    async def poll(self, owner: str, job_id: str, wait: float = 0) -> tuple[Job, int | None]:
        """The job; with `wait`, when it has changed state or so many seconds have passed. Beside it, after how many
        seconds to ask again; null when it has ended."""
        if wait:
            record = await self.record(owner, job_id)
            if record.status not in FINAL:
                await self._events.wait_for_status_change(job_id, record.status, record.event, wait)

        def found() -> tuple[Job, int | None]:
            record = self._find(owner, job_id)
            return self._job(record), None if record.status in FINAL else retry_after(record.waits)

        return await run_in_threadpool(found)

    async def page(
        self, owner: str, status: JobStatus | None, tag: str | None, limit: int, cursor: int | None
    ) -> JobList:
        """Some of the owner's jobs, newest first, from the cursor of the page before on."""

        def listed() -> JobList:
            page = self._job_store.page(owner, status=status, tag=tag, limit=limit, before=cursor)
            following = None if page.next_cursor is None else str(page.next_cursor)
            return JobList(jobs=tuple(map(self._job, page.records)), next_cursor=following)

        return await run_in_threadpool(listed)

    async def succeeded(self, owner: str, job_id: str) -> JobRecord:
        """The record of a job that has a result. Raises JobUnfinished, JobFailed, JobCancelled, JobExpired."""
        return await run_in_threadpool(self._find_succeeded, owner, job_id)

    def _find_succeeded(self, owner: str, job_id: str) -> JobRecord:
        record = self._find(owner, job_id)
        if record.status == "failed":
            raise JobFailed(self._problem(record))
        if record.status == "cancelled":
            raise JobCancelled("The job was cancelled: it has no result.")
        if record.status not in FINAL:
            raise JobUnfinished(f"The job is {record.status}.", retry_after=retry_after(record.waits))
        return record

    async def result(self, owner: str, job_id: str) -> bytes:
        """The result document, as JSON. Raises what `succeeded` raises."""
        record = await self.succeeded(owner, job_id)
        result = await run_in_threadpool(self._blobs.get, result_key(job_id, record.token))
        if result is None:
            raise JobExpired("The job's result is no longer kept.")
        return result

    async def media_name(self, owner: str, job_id: str) -> str:
        """What the caller called the media; empty where that is not known."""
        record = await self.record(owner, job_id)
        media = (await run_in_threadpool(self._requests.get, record)).media
        return media.name if media else ""

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Stops queued or running work; of an ended job nothing changes."""
        record = await self.record(owner, job_id)
        await run_in_threadpool(self._cancel, record)
        return await self.get(owner, job_id)

    def _cancel(self, record: JobRecord) -> None:
        if self._job_store.cancel(record.id) == "queued":  # no worker will ever see it
            self._metrics.jobs_cancelled.inc()
            self._blobs.delete(media_prefix(record.id))
            self._blobs.delete(parts_prefix(record.id))
            if record.webhook:
                self._wake("io")

    async def deliveries(self, owner: str, job_id: str) -> DeliveryLog:
        """What became of the job's webhook."""
        await self.record(owner, job_id)
        return await run_in_threadpool(self._job_store.webhook_queue.delivery_log, job_id)

    async def delete(self, owner: str, job_id: str) -> None:
        """Cancels, and erases media, request, result and record."""
        await self.record(owner, job_id)
        await run_in_threadpool(self._delete, job_id)

    def _delete(self, job_id: str) -> None:
        self._job_store.delete(job_id)
        self._requests.discard(job_id)
        self._blobs.delete(job_prefix(job_id))

    async def record(self, owner: str, job_id: str) -> JobRecord:
        """What the job store knows of the job. Raises JobNotFound, also for another owner's; JobExpired."""
        return await run_in_threadpool(self._find, owner, job_id)

    def _find(self, owner: str, job_id: str) -> JobRecord:
        record = self._job_store.get(job_id)
        if record is not None and record.owner == owner:
            return record
        if record is None and self._job_store.owner_of_expired(job_id) == owner:
            raise JobExpired("The job's result is no longer kept.")
        raise JobNotFound("There is no such job.")

    def _job(self, record: JobRecord) -> Job:
        request = self._requests.get(record)
        kept = timedelta(seconds=self._settings.result_ttl)
        return Job(
            id=record.id,
            status=record.status,
            stage=record.stage,
            progress=record.progress,
            position=record.position,
            created_at=record.created_at,
            started_at=record.started_at,
            finished_at=record.finished_at,
            expires_at=record.finished_at + kept if record.finished_at else None,
            media=request.media,
            options=request.options,
            tags=request.tags,
            error=self._problem(record) if record.failure else None,
            links=_links(record, request),
        )

    @staticmethod
    def _problem(record: JobRecord) -> Problem:
        failure = record.failure
        if failure is None:
            return Problem.from_code("internal_error", status=FAILED_STATUS, instance=path_of(record.id))
        return Problem.from_code(
            failure.code,
            failure.message,
            status=FAILED_STATUS,
            instance=path_of(record.id),
            stage=failure.stage,
            retryable=failure.retryable,
        )


def _queue_of(form: UploadForm) -> WorkerKind:
    """Where its jobs begin."""
    return "io" if form.one("url") else "inference"


def retry_after(seconds: float) -> int:
    """When to ask again for what is thought to take so long."""
    return min(max(math.ceil(seconds), SHORTEST_RETRY), LONGEST_RETRY)


def path_of(job_id: str) -> str:
    return f"/v1/jobs/{job_id}"


def _links(record: JobRecord, request: JobRequest) -> Links:
    path = path_of(record.id)
    kept = record.status not in FINAL or (record.status == "succeeded" and request.options.keep_media)
    there = request.url is None or record.fetched > 0
    return Links(
        self=path,
        result=f"{path}/result",
        artifacts=f"{path}/artifacts",
        media=f"{path}/media" if kept and there else None,
        events=f"{path}/events",
        cancel=f"{path}/cancel",
    )

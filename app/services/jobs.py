"""Everything that callers can do with their existing jobs, without HTTP."""

import math
from datetime import datetime, timedelta

from celery import Celery
from starlette.concurrency import run_in_threadpool

from app.errors import FAILED_STATUS, JobCancelled, JobExpired, JobFailed, JobNotFound, JobUnfinished, Problem
from app.http.metrics import GatewayMetrics
from app.schemas import Job, JobList, Links
from app.services.request_cache import RequestCache
from app.services.summary_cache import SummaryCache
from app.services.wake_ups import wake_worker
from app.settings import Settings
from workers.protocol.blob_keys import job_prefix, media_prefix, parts_prefix, result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import FINAL_STATUSES, JobRecord, JobRequest, JobStatus
from workers.protocol.store.events import EventReader
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.webhook_queue import DeliveryLog

MAX_WAIT_SECONDS = 60.0
"""Maximum seconds of a long poll."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60
"""Bounds of `Retry-After`, in seconds."""

LOOKUP_ERRORS = (JobNotFound, JobExpired)
"""Errors of every call that names a job."""
RESULT_ERRORS = (*LOOKUP_ERRORS, JobUnfinished, JobCancelled)
"""Errors of every call that needs a job's result, in addition to JobFailed."""


class JobQueries:
    """Reads, cancels and deletes jobs. An owner sees only its own: another owner's job is reported as not found."""

    def __init__(
        self,
        requests: RequestCache,
        summaries: SummaryCache,
        job_store: JobStore,
        events: EventReader,
        blobs: BlobStore,
        celery: Celery,
        settings: Settings,
        metrics: GatewayMetrics,
    ) -> None:
        self._requests, self._summaries = requests, summaries
        self._job_store, self._events, self._blobs = job_store, events, blobs
        self._celery, self._settings, self._metrics = celery, settings, metrics

    async def get(self, owner: str, job_id: str) -> Job:
        """Return the job. Raises JobNotFound, JobExpired."""
        return await run_in_threadpool(lambda: self._job(self.find(owner, job_id)))

    async def poll(self, owner: str, job_id: str, wait: float = 0) -> tuple[Job, int | None]:
        """Return the job, and the seconds after which to ask again (None if it has ended).

        With `wait`, return when the job changes state or after that many seconds. Raises JobNotFound, JobExpired.
        """
        if wait:
            record = await self.record(owner, job_id)
            if record.status not in FINAL_STATUSES:
                await self._events.wait_for_status_change(job_id, record.status, record.last_event_id, wait)

        def read() -> tuple[Job, int | None]:
            record = self.find(owner, job_id)
            if record.status in FINAL_STATUSES:
                return self._job(record), None
            return self._job(record), retry_after_seconds(record.estimated_wait_seconds)

        return await run_in_threadpool(read)

    async def list_jobs(
        self, owner: str, status: JobStatus | None, tag: str | None, limit: int, cursor: int | None
    ) -> JobList:
        """Return some of the owner's jobs, newest first, from the cursor of the previous page on."""

        def read() -> JobList:
            page = self._job_store.page(owner, status=status, tag=tag, limit=limit, before=cursor)
            next_cursor = None if page.next_cursor is None else str(page.next_cursor)
            return JobList(jobs=tuple(map(self._job, page.records)), next_cursor=next_cursor)

        return await run_in_threadpool(read)

    async def result(self, owner: str, job_id: str) -> bytes:
        """Return the result document as JSON. Raises what `find_succeeded` raises."""
        return (await self.versioned_result(owner, job_id))[0]

    async def versioned_result(self, owner: str, job_id: str) -> tuple[bytes, str]:
        """Return the result document as JSON, with its version. Raises what `find_result` raises."""
        return await run_in_threadpool(self.find_result, owner, job_id)

    async def media_name(self, owner: str, job_id: str) -> str:
        """Return the caller's name for the media, or "" if it is unknown. Raises JobNotFound, JobExpired."""
        return await run_in_threadpool(self.name, await self.record(owner, job_id))

    def name(self, record: JobRecord) -> str:
        """Return the caller's name for the media of a job, or "" if it is unknown; for use in a thread."""
        media = self._requests.get(record).media
        return media.name if media else ""

    def tags(self, record: JobRecord) -> tuple[str, ...]:
        """Return the tags of a job; for use in a thread."""
        return self._requests.get(record).tags

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Stop queued or running work and return the job; an ended job stays as it is. Raises JobNotFound,
        JobExpired."""
        record = await self.record(owner, job_id)

        def cancel_and_clean_up() -> None:
            if self._job_store.cancel(job_id) == "queued":  # no worker will see the job and clean up after it
                self._metrics.jobs_cancelled.inc()
                self._blobs.delete(media_prefix(job_id))
                self._blobs.delete(parts_prefix(job_id))
                if record.has_webhook:
                    wake_worker(self._job_store, self._celery, "io")

        await run_in_threadpool(cancel_and_clean_up)
        return await self.get(owner, job_id)

    async def deliveries(self, owner: str, job_id: str) -> DeliveryLog:
        """Return the delivery attempts of the job's webhook. Raises JobNotFound, JobExpired."""
        await self.record(owner, job_id)
        return await run_in_threadpool(self._job_store.webhook_queue.delivery_log, job_id)

    async def delete(self, owner: str, job_id: str) -> None:
        """Cancel the job and delete its media, request, result and record. Raises JobNotFound, JobExpired."""
        await self.record(owner, job_id)

        def delete_all() -> None:
            self._job_store.delete(job_id)
            self._requests.discard(job_id)
            self._blobs.delete(job_prefix(job_id))

        await run_in_threadpool(delete_all)

    async def record(self, owner: str, job_id: str) -> JobRecord:
        """Return the job's record. Raises JobNotFound, JobExpired."""
        return await run_in_threadpool(self.find, owner, job_id)

    async def succeeded(self, owner: str, job_id: str) -> JobRecord:
        """Return the record of a job that has a result. Raises what `find_succeeded` raises."""
        return await run_in_threadpool(self.find_succeeded, owner, job_id)

    def find(self, owner: str, job_id: str) -> JobRecord:
        """Return the job's record; for use in a thread. Raises JobExpired; JobNotFound, also for another owner's
        job."""
        record = self._job_store.get(job_id)
        if record is not None and record.owner == owner:
            return record
        if record is None and self._job_store.owner_of_expired(job_id) == owner:
            raise JobExpired("The job has expired: its result is no longer stored.")
        raise JobNotFound("There is no job with this id. It may have been deleted.")

    def find_succeeded(self, owner: str, job_id: str) -> JobRecord:
        """Return the record of a job that has a result; for use in a thread. Raises JobNotFound, JobExpired,
        JobUnfinished, JobCancelled, JobFailed."""
        record = self.find(owner, job_id)
        if record.status == "failed":
            raise JobFailed(_failure_problem(record))
        if record.status == "cancelled":
            raise JobCancelled("The job was cancelled and has no result.")
        if record.status not in FINAL_STATUSES:
            seconds = retry_after_seconds(record.estimated_wait_seconds)
            raise JobUnfinished(f"The job is {record.status}.", retry_after=seconds)
        return record

    def find_result(self, owner: str, job_id: str) -> tuple[bytes, str]:
        """Return the result document as JSON, with its version (`result_version`); for use in a thread. Raises what
        `find_succeeded` raises."""
        record = self.find_succeeded(owner, job_id)
        while True:
            result = self._blobs.get(result_key(job_id, record.token, record.result_edition))
            if result is not None:
                return result, result_version(record)
            current = self.find_succeeded(owner, job_id)
            if current.result_edition == record.result_edition:
                raise JobExpired("The job's result is no longer stored.")
            record = current  # a change replaced the result between record and file

    def expiry(self, record: JobRecord) -> datetime | None:
        """Return when a job is deleted; null until it has ended."""
        ttl = timedelta(seconds=self._settings.result_ttl)
        return record.finished_at + ttl if record.finished_at else None

    def _job(self, record: JobRecord) -> Job:
        request = self._requests.get(record)
        return Job(
            id=record.id,
            status=record.status,
            stage=record.stage,
            progress=record.progress,
            position=record.position,
            created_at=record.created_at,
            started_at=record.started_at,
            finished_at=record.finished_at,
            expires_at=self.expiry(record),
            media=request.media,
            options=request.options,
            tags=request.tags,
            summary=self._summaries.get(record),
            error=_failure_problem(record) if record.failure else None,
            links=_links(record, request),
        )


def result_version(record: JobRecord) -> str:
    """Return the name of the current version of a job's result, for `ETag`."""
    return f"{record.token}-{record.result_edition or 0}"


def retry_after_seconds(estimate: float) -> int:
    """Return a `Retry-After` value for work that is estimated to take `estimate` seconds."""
    return min(max(math.ceil(estimate), MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)


def job_path(job_id: str) -> str:
    """Return the path of a job in this API."""
    return f"/v1/jobs/{job_id}"


def _failure_problem(record: JobRecord) -> Problem:
    failure = record.failure
    if failure is None:
        return Problem.from_code("internal_error", status=FAILED_STATUS, instance=job_path(record.id))
    return Problem.from_code(
        failure.code,
        failure.message,
        status=FAILED_STATUS,
        instance=job_path(record.id),
        stage=failure.stage,
        retryable=failure.retryable,
    )


def _links(record: JobRecord, request: JobRequest) -> Links:
    path = job_path(record.id)
    is_stored = record.status not in FINAL_STATUSES or (record.status == "succeeded" and request.options.keep_media)
    has_arrived = request.url is None or record.fetch_token > 0
    return Links(
        self=path,
        result=f"{path}/result",
        artifacts=f"{path}/artifacts",
        media=f"{path}/media" if is_stored and has_arrived else None,
        events=f"{path}/events",
        cancel=f"{path}/cancel",
    )

"""Job submission: receives an upload and creates its jobs.

A job is accepted in this order: its media and request are stored, its record is written to the job store, a worker is
woken. Whatever fails in between, no accepted job is lost and no rejected job is processed.
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from celery import Celery
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.errors import JobExpired, TooManyJobs
from app.http.metrics import GatewayMetrics
from app.http.request_context import current_origin
from app.http.uploads import OpenSink, UploadForm, UploadReader
from app.schemas import Job
from app.services.idempotency import idempotent, replayed_jobs, request_fingerprint
from app.services.job_form import (
    FIELD_DECODERS,
    BlobSink,
    NullSink,
    parse_options,
    upload_limits,
    validate_field,
    validate_form,
)
from app.services.jobs import JobQueries, retry_after_seconds
from app.services.request_cache import RequestCache
from app.services.wake_ups import wake_worker
from app.services.webhooks import check_webhook
from app.settings import Settings
from ml.results import Options
from workers.protocol.blob_keys import job_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError, storage_full
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.records import JobMedia, JobRequest, ReanalysisSource, WorkerKind, new_job_id
from workers.protocol.store.idempotency import CompletedRequest, Reservation
from workers.protocol.store.job_store import UPLOAD_TTL_SECONDS, JobStore, NewJobs, QueueFull, Quota

logger = logging.getLogger(__name__)

SMALL_IMAGE_BYTES = 4 * 2**20
"""Maximum bytes of an image that a worker may analyse concurrently with others."""


@dataclass(frozen=True)
class NewJob:
    """A job to create, whose media, if it has any yet, are stored.

    Args:
        media_bytes: Size of the stored media.
        small: Whether a worker may analyse it concurrently with others.
    """

    id: str
    request: JobRequest
    media_bytes: int = 0
    small: bool = False

    @property
    def queue(self) -> WorkerKind:
        return "io" if self.request.url else "inference"


class JobSubmission:
    """Creates jobs from uploads."""

    def __init__(
        self,
        jobs: JobQueries,
        requests: RequestCache,
        job_store: JobStore,
        blobs: BlobStore,
        celery: Celery,
        settings: Settings,
        metrics: GatewayMetrics,
    ) -> None:
        self._jobs, self._requests, self._job_store, self._blobs = jobs, requests, job_store, blobs
        self._celery, self._settings, self._metrics = celery, settings, metrics
        self._egress = EgressPolicy.from_settings(settings)
        self._quota = Quota(settings.max_queued_per_key, settings.max_bytes_per_key)

    async def submit(
        self, owner: str, body: AsyncIterable[bytes], boundary: bytes, idempotency_key: str | None = None
    ) -> tuple[Job, ...]:
        """Read a multipart upload and create its jobs: one for each file, all or none, or one for a link or a kept job.

        If the same request was sent before with this `idempotency_key`, return the jobs that it created.

        Raises what the form is rejected with (`UploadReader.read`, `validate_form`, `check_webhook`); TooManyJobs,
        IdempotencyMismatch, IdempotencyInProgress, RedisError, StorageError; for a `source_job` also JobNotFound,
        JobUnfinished, JobFailed, JobCancelled, JobExpired.
        """
        async with self._explaining_full_queue():
            if idempotency_key is None:
                job_ids = await self._receive(owner, body, boundary)
            else:
                async with idempotent(self._job_store.idempotency, owner, idempotency_key) as state:
                    if isinstance(state, CompletedRequest):
                        async with self._open_reader(NullSink) as reader:
                            job_ids = replayed_jobs(state, await self._read_form(reader, owner, body, boundary))
                    else:
                        reservation = replace(state, ttl_seconds=self._settings.idempotency_seconds)
                        job_ids = await self._receive(owner, body, boundary, reservation)
        return tuple([await self._jobs.get(owner, job_id) for job_id in job_ids])

    async def accept(self, owner: str, new: Sequence[NewJob]) -> None:
        """Create jobs whose media are stored, all or none. If that fails, delete their blobs. Raises TooManyJobs,
        RedisError, StorageError."""
        async with self._explaining_full_queue():
            await asyncio.shield(run_in_threadpool(self._create_or_roll_back, owner, new, None))
        self._count(new)

    async def require_capacity(self, owner: str) -> None:
        """Raise TooManyJobs or StorageFull if no job can be accepted now."""
        async with self._explaining_full_queue():
            await run_in_threadpool(self._require_capacity, owner)

    @asynccontextmanager
    async def _explaining_full_queue(self) -> AsyncIterator[None]:
        """Raise TooManyJobs, with the seconds to wait, instead of QueueFull."""
        try:
            yield
        except QueueFull as error:
            if error.retry_after is not None:
                raise TooManyJobs(error.message, retry_after=math.ceil(error.retry_after)) from error
            estimate = await run_in_threadpool(self._job_store.estimate_seconds, 1)
            raise TooManyJobs(error.message, retry_after=retry_after_seconds(estimate)) from error

    async def _receive(
        self, owner: str, body: AsyncIterable[bytes], boundary: bytes, reservation: Reservation | None = None
    ) -> Sequence[str]:
        """Read and store an upload and create its jobs. Returns their ids."""
        await run_in_threadpool(self._require_capacity, owner)  # before anything is read
        sinks: list[BlobSink] = []

        def open_sink() -> BlobSink:
            sinks.append(BlobSink(self._blobs, new_job_id()))
            return sinks[-1]

        async with self.renewing_uploads(sinks), self._open_reader(open_sink) as reader:
            form = await self._read_form(reader, owner, body, boundary)
            reader.commit()  # from here on the files belong to the jobs
            job_ids = [sink.job_id for sink in sinks] or [new_job_id()]  # a link or a kept job has no file
            if reservation:
                reservation = replace(reservation, fingerprint=request_fingerprint(form))
            new = await run_in_threadpool(self._new_jobs, owner, form, job_ids)
            await asyncio.shield(run_in_threadpool(self._create_or_roll_back, owner, new, reservation))
        self._count(new)
        return job_ids

    def _count(self, accepted: Sequence[NewJob]) -> None:
        self._metrics.upload_bytes.inc(sum(job.media_bytes for job in accepted))
        self._metrics.jobs_created.inc(len(accepted))
        for job in accepted:
            logger.info("job accepted", extra={"fields": {"job_id": job.id}})

    def _open_reader(self, open_sink: OpenSink) -> UploadReader:
        return UploadReader(
            upload_limits(self._settings), open_sink, partial(validate_field, self._egress), FIELD_DECODERS
        )

    async def _read_form(
        self, reader: UploadReader, owner: str, body: AsyncIterable[bytes], boundary: bytes
    ) -> UploadForm:
        form = await reader.read(body, boundary)
        validate_form(form)
        if (webhook := form.single("webhook_url")) is not None:
            check_webhook(self._settings, owner, webhook)
        return form

    def _require_capacity(self, owner: str) -> None:
        """Raise QueueFull or StorageFull if no job can be accepted now."""
        self._job_store.check_capacity(owner, self._quota)
        if not self._blobs.has_free_space():
            raise storage_full()

    @asynccontextmanager
    async def renewing_uploads(self, sinks: list[BlobSink]) -> AsyncIterator[None]:
        """Mark the stored files of a long upload as in use, so that the sweep does not remove them as leftovers of a
        gateway that died."""

        async def renew_loop() -> None:
            while True:
                await asyncio.sleep(UPLOAD_TTL_SECONDS / 3)
                with suppress(RedisError):
                    for sink in list(sinks):
                        await run_in_threadpool(self._job_store.renew_upload, sink.job_id)

        renewing = asyncio.create_task(renew_loop())
        try:
            yield
        finally:
            renewing.cancel()

    def _create_or_roll_back(self, owner: str, new: Sequence[NewJob], reservation: Reservation | None) -> None:
        """Create the jobs and wake workers. If that fails, delete whatever was written and raise."""
        try:
            self._create(owner, new, reservation)
        except Exception:
            with suppress(RedisError, StorageError):  # whatever remains is swept, or was created after all
                for job in new:  # without a reply from Redis it is unknown whether the records were written
                    self._job_store.delete(job.id)
                    self._blobs.delete(job_prefix(job.id))
                if reservation:
                    self._job_store.idempotency.rollback(reservation)
            raise
        for job in new:
            wake_worker(self._job_store, self._celery, job.queue)

    def _new_jobs(self, owner: str, form: UploadForm, job_ids: Sequence[str]) -> list[NewJob]:
        """Return the jobs of a form. Raises what `_find_source` raises."""
        options = form.single("options")
        request = JobRequest(
            url=form.single("url"),
            options=parse_options(options) if options is not None else Options(),
            transcript=form.single("transcript"),
            webhook_url=form.single("webhook_url"),
            tags=tuple(tag.strip() for tag in form.fields.get("tag", ())),
            origin=current_origin(),
        )
        if form.files:
            return [
                NewJob(
                    job_id,
                    request.model_copy(update={"media": JobMedia(name=file.name, size=file.size, sha256=file.sha256)}),
                    file.size,
                    file.is_image and file.size <= SMALL_IMAGE_BYTES,
                )
                for job_id, file in zip(job_ids, form.files, strict=True)
            ]
        if (source_id := form.single("source_job")) is not None:
            source, media = self._find_source(owner, source_id)
            request = request.model_copy(update={"source": source, "media": media})
        return [NewJob(job_id, request) for job_id in job_ids]

    def _create(self, owner: str, new: Sequence[NewJob], reservation: Reservation | None) -> None:
        """Write the requests, then the records of the jobs: those with the same properties at once."""
        alike: defaultdict[tuple[WorkerKind, tuple[str, ...], bool, bool], list[NewJob]] = defaultdict(list)
        for job in new:
            request = job.request
            self._blobs.put(request_key(job.id), request.model_dump_json().encode())
            properties = (job.queue, request.tags, request.webhook_url is not None, request.options.keep_media)
            alike[properties].append(job)
        for (queue, tags, has_webhook, keeps_media), jobs in alike.items():
            new_jobs = NewJobs(
                [job.id for job in jobs],
                owner,
                tags,
                queue,
                has_webhook=has_webhook,
                keeps_media=keeps_media,
                media_bytes=[job.media_bytes for job in jobs],
                small=[job.small for job in jobs],
            )
            self._job_store.create(new_jobs, self._quota, reservation)

    def _find_source(self, owner: str, job_id: str) -> tuple[ReanalysisSource, JobMedia | None]:
        """Return the kept job to analyse again, and its media. Raises JobNotFound, JobUnfinished, JobFailed,
        JobCancelled, JobExpired."""
        record = self._jobs.find_succeeded(owner, job_id)
        request = self._requests.get(record)
        if not request.options.keep_media:
            raise JobExpired("The job's media were not kept: it was submitted without `keep_media`.")
        return ReanalysisSource(job_id=job_id, fetch_token=record.fetch_token, token=record.token), request.media

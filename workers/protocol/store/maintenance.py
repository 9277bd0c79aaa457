"""What keeps the service whole when a process dies. Every gateway and every worker does it; one at a time, whoever is
first (`JobStore.turn`)."""

import logging
import threading
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from workers.protocol.blob_keys import job_prefix, media_prefix, parts_prefix, request_key
from workers.protocol.blobs.blobs import BlobStore
from workers.protocol.blobs.storage_backend import StorageError
from workers.protocol.broker import pending_wake_ups, send_wake_up
from workers.protocol.records import FINAL_STATUSES, WORKER_KINDS, JobRequest, JobStatus
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.migration import take_over

logger = logging.getLogger(__name__)

MAX_WAKE_UPS_PER_PASS = 100
"""Sent in one turn at most: the next comes soon."""
COMPACT_INTERVAL_SECONDS = 60.0
"""How often Redis's file is cleared of deleted jobs."""
SWEEP_INTERVAL_SECONDS = 600.0
"""How often the blobs are searched for what no job owns."""
MIN_ORPHAN_AGE_SECONDS = 3600.0
"""How old such blobs must be: a job's are written before its record."""


class Maintenance:
    """Takes jobs from dead workers, wakes workers whose message was lost, forgets what is over, removes orphans, takes
    over what an earlier version left."""

    def __init__(
        self,
        job_store: JobStore,
        blobs: BlobStore,
        celery: Celery,
        settings: SharedSettings,
        *,
        sweeps: bool = True,
        on_reaped: Callable[[JobStatus], None] = lambda _: None,
    ) -> None:
        """`sweeps`: it may take its time, so it looks for orphans and for jobs of earlier versions too. `on_reaped` is
        told the state of each job that was taken from a dead worker."""
        self._job_store, self._blobs, self._celery, self._sweeps = job_store, blobs, celery, sweeps
        self._on_reaped = on_reaped
        self.interval_seconds = settings.lease_seconds / 3

    def run_once(self) -> None:
        """Does what is due, unless somebody else has just done it. Never raises: what failed is tried again."""
        try:
            if self._sweeps:
                take_over(self._job_store, self._blobs)
            if self._job_store.acquire_periodic_lock("upkeep", self.interval_seconds * 0.9):
                self._reap()
                self._wake()
                self._expire()
            if self._job_store.acquire_periodic_lock("compact", COMPACT_INTERVAL_SECONDS):
                self._job_store.compact_append_only_file()
            if self._sweeps and self._job_store.acquire_periodic_lock("sweep", SWEEP_INTERVAL_SECONDS):
                self.sweep()
        except (RedisError, OperationalError):
            logger.warning("upkeep: the job store does not answer")
        except StorageError as error:
            logger.warning("upkeep: %s", error.message)

    def run_until(self, ended: threading.Event) -> None:
        """Takes a turn every `seconds` until `ended` is set. For a thread of its own."""
        self.run_once()
        while not ended.wait(self.interval_seconds):
            self.run_once()

    def _reap(self) -> None:
        for job_id, status in self._job_store.reap_expired_leases().items():
            logger.warning("the worker of %s has died; the job is %s now", job_id, status)
            self._on_reaped(status)
            if status in FINAL_STATUSES:
                self._blobs.delete(media_prefix(job_id))
                self._blobs.delete(parts_prefix(job_id))

    def _wake(self) -> None:
        """There may be fewer messages than jobs: a gateway died between the two, or a worker that had one."""
        for queue in WORKER_KINDS:
            wanted = self._job_store.queue_length(queue) + (
                self._job_store.webhook_queue.due_count() if queue == "io" else 0
            )
            for _ in range(min(wanted - pending_wake_ups(self._celery, queue), MAX_WAKE_UPS_PER_PASS)):
                send_wake_up(self._celery, queue)

    def _expire(self) -> None:
        for job_id in self._job_store.expire():
            self._blobs.delete(job_prefix(job_id))

    def sweep(self, min_age_seconds: float = MIN_ORPHAN_AGE_SECONDS) -> None:
        """Removes what a process left that died, untouched for so many seconds: blobs of no job and of no upload under
        way, media of ended jobs."""
        for job_id, names in self._blobs.find_untouched_jobs(min_age_seconds).items():
            if not self._job_store.exists(job_id):
                logger.warning("removing the blobs of %s, which is no job", job_id)
                self._blobs.delete(job_prefix(job_id))
            elif any(name.startswith("parts/") for name in names) and self._has_ended(job_id):
                logger.warning("removing the parts of %s, which has ended", job_id)
                self._blobs.delete(parts_prefix(job_id))
            elif any(name.startswith("media/") for name in names) and self._is_spent(job_id):
                logger.warning("removing the media of %s, which has ended", job_id)
                self._blobs.delete(media_prefix(job_id))

    def _has_ended(self, job_id: str) -> bool:
        record = self._job_store.get(job_id)
        return record is not None and record.status in FINAL_STATUSES

    def _is_spent(self, job_id: str) -> bool:
        """Whether a job has ended whose media are not to be kept."""
        record, request = self._job_store.get(job_id), self._blobs.get(request_key(job_id))
        if record is None or request is None or record.status not in FINAL_STATUSES:
            return False
        kept = record.status == "succeeded" and JobRequest.model_validate_json(request).options.keep_media
        return not kept

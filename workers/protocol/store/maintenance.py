"""Periodic maintenance, which repairs what a process that died has left behind.

Every gateway and every worker runs it; locks in Redis make sure that each task is done once per interval.
"""

import logging
import threading
from collections.abc import Callable

from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError

from workers.protocol.blob_keys import job_prefix, media_prefix, parts_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError
from workers.protocol.broker import pending_wake_ups, send_wake_up
from workers.protocol.records import FINAL_STATUSES, WORKER_KINDS, JobRequest, JobStatus
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, UnsupportedLayout

logger = logging.getLogger(__name__)

MAX_WAKE_UPS_PER_PASS = 100
"""Maximum wake-ups per queue that one pass sends; the next pass follows soon."""
COMPACT_INTERVAL_SECONDS = 60.0
"""Seconds between two checks whether Redis's append-only file mentions deleted jobs."""
SWEEP_INTERVAL_SECONDS = 600.0
"""Seconds between two searches for orphaned blobs."""
MIN_ORPHAN_AGE_SECONDS = 3600.0
"""Minimum age of orphaned blobs: the blobs of a new job are written before its record."""


class Maintenance:
    """Requeues jobs of dead workers, resends lost wake-ups, deletes expired jobs and orphaned blobs."""

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
        """`sweeps`: whether to search for orphaned blobs too, which may take long. `on_reaped` is called with the
        status of each job that was taken from a dead worker."""
        self._job_store, self._blobs, self._celery, self._sweeps = job_store, blobs, celery, sweeps
        self._on_reaped = on_reaped
        self.interval_seconds = settings.lease_seconds / 3

    def run_once(self) -> None:
        """Do what is due, unless another process has just done it. Errors are logged; the next pass tries again."""
        try:
            self._job_store.check_layout()
            if self._job_store.acquire_periodic_lock("upkeep", self.interval_seconds * 0.9):
                self._reap()
                self._send_missing_wake_ups()
                for job_id in self._job_store.expire():
                    self._blobs.delete(job_prefix(job_id))
            if self._job_store.acquire_periodic_lock("compact", COMPACT_INTERVAL_SECONDS):
                self._job_store.compact_append_only_file()
            if self._sweeps and self._job_store.acquire_periodic_lock("sweep", SWEEP_INTERVAL_SECONDS):
                self.sweep()
        except (RedisError, OperationalError):
            logger.warning("maintenance was interrupted: Redis is unavailable")
        except StorageError as error:
            logger.warning("maintenance was interrupted: %s", error.message)
        except UnsupportedLayout as error:
            logger.error("maintenance was skipped: %s", error.message)

    def run_until(self, stopped: threading.Event) -> None:
        """Run a pass every `interval_seconds` until `stopped` is set. Meant for a thread of its own."""
        self.run_once()
        while not stopped.wait(self.interval_seconds):
            self.run_once()

    def _reap(self) -> None:
        for job_id, status in self._job_store.reap_expired_leases().items():
            logger.warning("the worker of %s died; the job is %s now", job_id, status)
            self._on_reaped(status)
            if status in FINAL_STATUSES:
                self._blobs.delete(media_prefix(job_id))
                self._blobs.delete(parts_prefix(job_id))

    def _send_missing_wake_ups(self) -> None:
        """Send as many wake-ups as jobs wait. Some are lost if a gateway or a worker dies."""
        for queue in WORKER_KINDS:
            wanted = self._job_store.queue_length(queue)
            if queue == "io":
                wanted += self._job_store.webhook_queue.due_count()
            for _ in range(min(wanted - pending_wake_ups(self._celery, queue), MAX_WAKE_UPS_PER_PASS)):
                send_wake_up(self._celery, queue)

    def sweep(self, min_age_seconds: float = MIN_ORPHAN_AGE_SECONDS) -> None:
        """Delete what a dead process has left: blobs without a job or a running upload, parts and media of ended
        jobs, if nothing was written to them for `min_age_seconds`."""
        for job_id, names in self._blobs.find_untouched_jobs(min_age_seconds).items():
            if not self._job_store.exists(job_id):
                logger.warning("deleting the blobs of %s, which does not exist", job_id)
                self._blobs.delete(job_prefix(job_id))
            elif any(name.startswith("parts/") for name in names) and self._has_ended(job_id):
                logger.warning("deleting the parts of %s, which has ended", job_id)
                self._blobs.delete(parts_prefix(job_id))
            elif any(name.startswith("media/") for name in names) and self._needs_no_media(job_id):
                logger.warning("deleting the media of %s, which has ended", job_id)
                self._blobs.delete(media_prefix(job_id))

    def _has_ended(self, job_id: str) -> bool:
        record = self._job_store.get(job_id)
        return record is not None and record.status in FINAL_STATUSES

    def _needs_no_media(self, job_id: str) -> bool:
        """Return whether the job has ended and its media are not to be kept."""
        record, request = self._job_store.get(job_id), self._blobs.get(request_key(job_id))
        if record is None or request is None or record.status not in FINAL_STATUSES:
            return False
        return record.status != "succeeded" or not JobRequest.model_validate_json(request).options.keep_media

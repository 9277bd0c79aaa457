"""Readiness: whether the service can accept and process work now."""

import asyncio

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from workers.protocol.blob_keys import job_prefix
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError
from workers.protocol.records import new_job_id
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.worker_registry import WorkerRegistry


class Readiness:
    """Checks Redis, the blob store and the workers."""

    def __init__(self, job_store: JobStore, registry: WorkerRegistry, blobs: BlobStore) -> None:
        self._job_store, self._registry, self._blobs = job_store, registry, blobs

    async def problems(self) -> dict[str, str]:
        """Return what prevents the service from accepting and processing work, as component → reason. Empty if it is
        ready."""
        checks = {"redis": self._check_redis, "storage": self._check_storage, "workers": self._check_workers}
        reasons = await asyncio.gather(*(run_in_threadpool(check) for check in checks.values()))
        return {name: reason for name, reason in zip(checks, reasons, strict=True) if reason}

    def has_live_worker(self) -> bool:
        """Return whether a worker accepts live streams. Raises RedisError."""
        return any(worker.loaded and "live" in worker.kinds for worker in self._registry.workers())

    def _check_redis(self) -> str | None:
        try:
            self._job_store.queue_length()
        except RedisError:
            return "Redis does not answer."
        return None

    def _check_storage(self) -> str | None:
        job_id = new_job_id()  # a new id for each check: concurrent checks do not collide, and the sweep cleans up
        try:
            self._blobs.put(f"{job_prefix(job_id)}/ready", b"ready")
            self._blobs.delete(job_prefix(job_id))
        except StorageError as error:
            return error.message
        return None if self._blobs.has_free_space() else "The disk has too little free space."

    def _check_workers(self) -> str | None:
        try:
            workers = self._registry.workers()
        except RedisError:
            return "The state of the workers is unknown."
        inference = [worker for worker in workers if "inference" in worker.kinds]
        if any(worker.loaded for worker in inference):
            return None
        refused = next((worker.refused for worker in inference if worker.refused), None)
        if refused:
            return f"The workers reject the bundle: {refused.reason}."
        return "The workers are loading their models." if inference else "No worker is running."

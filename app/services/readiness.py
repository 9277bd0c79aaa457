"""What stands behind the gateway: Redis, the blob store, the workers and the models that they answer with."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.schemas import Model, ModelList, RefusedBundle, ServedBundle
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import StorageError
from workers.protocol.records import Heartbeat, job_prefix, new_job_id
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.worker_registry import WorkerRegistry


class Readiness:
    """Tells whether work can be done, and by which models."""

    def __init__(self, job_store: JobStore, roster: WorkerRegistry, blobs: Blobs) -> None:
        self._job_store, self._roster, self._blobs = job_store, roster, blobs

    async def problems(self) -> dict[str, str]:
        """What keeps the service from accepting and doing work: what, and why. Empty: it is ready."""
        checks = {"redis": self._check_redis, "storage": self._check_storage, "workers": self._check_workers}
        reasons = await asyncio.gather(*(run_in_threadpool(check) for check in checks.values()))
        return {name: reason for name, reason in zip(checks, reasons, strict=True) if reason}

    async def models(self) -> ModelList:
        """What the workers answer with, and what they refuse. Raises RedisError."""
        return list_models(await run_in_threadpool(self._roster.workers))

    def has_live_worker(self) -> bool:
        """Whether a worker reads live streams. Raises RedisError."""
        return any(worker.loaded and "live" in worker.kinds for worker in self._roster.workers())

    def _check_redis(self) -> str | None:
        try:
            self._job_store.queue_length()
        except RedisError:
            return "Redis does not answer."
        return None

    def _check_storage(self) -> str | None:
        job_id = new_job_id()  # of its own, so that two who ask at once do not meet, and swept up as a job's
        try:
            self._blobs.put(f"{job_prefix(job_id)}/ready", b"ready")
            self._blobs.delete(job_prefix(job_id))
        except StorageError as error:
            return error.message
        return None if self._blobs.has_room() else "There is too little room on the disk."

    def _check_workers(self) -> str | None:
        try:
            workers = self._roster.workers()
        except RedisError:
            return "It is not known whether a worker is ready."
        inference = [worker for worker in workers if "inference" in worker.kinds]
        if any(worker.loaded for worker in inference):
            return None
        refused = next((worker.refused for worker in inference if worker.refused), None)
        if refused:
            return f"The workers refuse the bundle: {refused.reason}."
        return "The workers are loading their models." if inference else "No worker answers."


def ready_workers(workers: Iterable[Heartbeat]) -> list[Heartbeat]:
    """Those that have models in memory."""
    return [worker for worker in workers if "inference" in worker.kinds and worker.loaded]


def list_models(workers: Iterable[Heartbeat]) -> ModelList:
    """Each model and each bundle once, with the number of worker processes that hold it, or refuse it."""
    workers = list(workers)
    holders = ready_workers(workers)
    held = [((model.role, model.name, model.version or 0), model) for worker in holders for model in worker.models]
    count = Counter(key for key, _ in held)
    models = (Model(**model.model_dump(), loaded=count[key]) for key, model in sorted(dict(held).items()))
    held_bundles = Counter((worker.bundle, worker.digest or "") for worker in holders)
    bundles = (ServedBundle(name=name, digest=digest, loaded=n) for (name, digest), n in sorted(held_bundles.items()))
    refusals = Counter((worker.bundle, worker.refused) for worker in workers if worker.refused)
    refused = (RefusedBundle(name=name, **told.model_dump(), workers=n) for (name, told), n in refusals.items())
    return ModelList(models=tuple(models), bundles=tuple(bundles), refused=tuple(refused))

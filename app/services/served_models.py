"""The models and bundles that workers have in memory, from their heartbeats."""

from collections import Counter
from collections.abc import Iterable

from app.schemas import Model, ModelList, RefusedBundle, ServedBundle
from workers.protocol.records import Heartbeat


def ready_workers(workers: Iterable[Heartbeat]) -> list[Heartbeat]:
    """Return the workers that have models in memory."""
    return [worker for worker in workers if "inference" in worker.kinds and worker.loaded]


def list_models(workers: Iterable[Heartbeat]) -> ModelList:
    """List each model and bundle once, with the number of worker processes that hold or reject it."""
    workers = list(workers)
    ready = ready_workers(workers)
    held = [((model.role, model.name, model.version or 0), model) for worker in ready for model in worker.models]
    model_counts = Counter(key for key, _ in held)
    bundle_counts = Counter((worker.bundle, worker.digest or "") for worker in ready)
    refusal_counts = Counter((worker.bundle, worker.refused) for worker in workers if worker.refused)
    return ModelList(
        models=tuple(
            Model(**model.model_dump(), loaded=model_counts[key]) for key, model in sorted(dict(held).items())
        ),
        bundles=tuple(
            ServedBundle(name=name, digest=digest, loaded=count)
            for (name, digest), count in sorted(bundle_counts.items())
        ),
        refused=tuple(
            RefusedBundle(name=name, **refusal.model_dump(), workers=count)
            for (name, refusal), count in refusal_counts.items()
        ),
    )

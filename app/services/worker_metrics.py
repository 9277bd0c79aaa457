"""Prometheus metrics of what is behind the gateway, measured at each scrape: queues, workers, models, disk space."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from app.services.served_models import list_models, ready_workers
from app.settings import Settings
from workers.protocol.records import WORKER_KINDS, Heartbeat
from workers.protocol.store.job_store import JobStore, ServiceLoad
from workers.protocol.store.worker_registry import WorkerRegistry

DIGEST_CHARACTERS = 12
"""Characters of a bundle's digest that its label shows."""


class WorkerCollector(Collector):
    """Collector of shared state. Every gateway reports the same values: aggregate with max, never with sum.

    If Redis does not answer, all metrics but `affect_redis_up` and the free disk space are omitted.
    """

    def __init__(self, job_store: JobStore, registry: WorkerRegistry, settings: Settings) -> None:
        self._job_store, self._registry, self._settings = job_store, registry, settings

    def describe(self) -> Iterator[Metric]:
        """Return no metrics, so that registration does not query Redis."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = False
        with suppress(RedisError):
            load, workers = self._job_store.load(), self._registry.workers()
            up = True
            yield from _load_metrics(load)
            yield from _worker_metrics(workers)
        yield GaugeMetricFamily("affect_redis_up", "Whether Redis answers.", float(up))
        if not self._settings.blob_url:
            with suppress(OSError):
                free = shutil.disk_usage(self._settings.data_dir).free
                yield GaugeMetricFamily(
                    "affect_storage_free_bytes", "Free bytes of the disk that stores media and results.", free
                )


def _load_metrics(load: ServiceLoad) -> Iterator[Metric]:
    depth = GaugeMetricFamily("affect_queue_depth", "Waiting jobs, by kind of worker.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "affect_queue_oldest_seconds", "Seconds that the oldest waiting job has waited.", labels=["queue"]
    )
    for name, queue in load.queues.items():
        depth.add_metric([name], queue.depth)
        oldest.add_metric([name], queue.oldest_seconds)
    yield from (depth, oldest)
    yield GaugeMetricFamily("affect_jobs_running", "Jobs that workers are processing.", load.running)


def _worker_metrics(workers: tuple[Heartbeat, ...]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("affect_workers", "Worker processes that are ready, by kind.", labels=["kind"])
    ready_counts = Counter(kind for worker in workers if worker.loaded for kind in worker.kinds)
    for kind in WORKER_KINDS:
        ready.add_metric([kind], ready_counts[kind])
    yield ready
    yield GaugeMetricFamily(
        "affect_workers_loading",
        "Worker processes that are loading their models.",
        sum(not worker.loaded for worker in workers),
    )
    yield GaugeMetricFamily(
        "affect_workers_refusing",
        "Worker processes that reject the published bundle.",
        sum(worker.refused is not None for worker in workers),
    )
    served = list_models(ready_workers(workers))
    models = GaugeMetricFamily(
        "affect_model_workers", "Worker processes that have a model in memory.", labels=["role", "model", "version"]
    )
    for model in served.models:
        models.add_metric([model.role, model.name, str(model.version or "")], model.loaded)
    bundles = GaugeMetricFamily(
        "affect_bundle_workers", "Worker processes that have a bundle in memory.", labels=["bundle", "digest"]
    )
    for bundle in served.bundles:
        bundles.add_metric([bundle.name, bundle.digest[:DIGEST_CHARACTERS]], bundle.loaded)
    yield from (models, bundles)

"""What stands behind the gateway, measured at each scrape: queues, workers, models, room on the disk."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from app.services.readiness import list_models, ready_workers
from app.settings import Settings
from workers.protocol.records import KINDS, Heartbeat
from workers.protocol.store.job_store import JobStore, ServiceLoad
from workers.protocol.store.worker_registry import WorkerRegistry

_DIGEST = 12


class WorkerCollector(Collector):
    """Every gateway tells the same of these: take one, or the greatest, never the sum. Without Redis all but
    `affect_redis_up` are left out."""

    def __init__(self, job_store: JobStore, roster: WorkerRegistry, settings: Settings) -> None:
        self._job_store, self._roster, self._settings = job_store, roster, settings

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked when it is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = False
        with suppress(RedisError):
            load, workers = self._job_store.load(), self._roster.workers()
            up = True
            yield from _of_load(load)
            yield from _of_workers(workers)
        yield GaugeMetricFamily("affect_redis_up", "Whether Redis answers.", float(up))
        if not self._settings.blob_url:
            with suppress(OSError):
                free = shutil.disk_usage(self._settings.data_dir).free
                yield GaugeMetricFamily("affect_storage_free_bytes", "Room where media and results lie.", free)


def _of_load(load: ServiceLoad) -> Iterator[Metric]:
    depth = GaugeMetricFamily("affect_queue_depth", "Jobs that wait, by kind of worker.", labels=["queue"])
    oldest = GaugeMetricFamily("affect_queue_oldest_seconds", "For which the oldest of them has.", labels=["queue"])
    for queue, found in load.queues.items():
        depth.add_metric([queue], found.depth)
        oldest.add_metric([queue], found.oldest_seconds)
    yield from (depth, oldest)
    yield GaugeMetricFamily("affect_jobs_running", "Jobs that workers hold.", load.running)


def _of_workers(workers: tuple[Heartbeat, ...]) -> Iterator[Metric]:
    there = GaugeMetricFamily("affect_workers", "Worker processes ready to work, by kind.", labels=["kind"])
    loaded = Counter(kind for worker in workers if worker.loaded for kind in worker.kinds)
    for kind in KINDS:
        there.add_metric([kind], loaded[kind])
    yield there
    yield GaugeMetricFamily(
        "affect_workers_loading",
        "Worker processes that load their models.",
        sum(not worker.loaded for worker in workers),
    )
    yield GaugeMetricFamily(
        "affect_workers_refusing",
        "Worker processes that refuse the published bundle.",
        sum(worker.refused is not None for worker in workers),
    )
    told = list_models(ready_workers(workers))
    models = GaugeMetricFamily(
        "affect_model_workers", "Worker processes that hold a model.", labels=["role", "model", "version"]
    )
    for model in told.models:
        models.add_metric([model.role, model.name, str(model.version or "")], model.loaded)
    bundles = GaugeMetricFamily(
        "affect_bundle_workers", "Worker processes that hold a bundle.", labels=["bundle", "digest"]
    )
    for bundle in told.bundles:
        bundles.add_metric([bundle.name, bundle.digest[:_DIGEST]], bundle.loaded)
    yield from (models, bundles)

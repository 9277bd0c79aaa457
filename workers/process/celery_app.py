"""Celery application of a worker.

Celery carries wake-ups only: a task runs the next jobs of a queue, which the worker claims from the job store. Queues,
retries, time limits of attempts and results are the job store's.
"""

import ctypes
import logging
import time
from functools import cached_property
from multiprocessing.sharedctypes import RawValue
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from ml import memory
from workers.jobs.runner import RunnerConfig
from workers.jobs.telemetry import Telemetry
from workers.outbound.downloader import DownloadRunner, FetchLimits
from workers.outbound.page_downloader import PageDownloader
from workers.outbound.webhook_sender import WebhookPolicy, WebhookSender
from workers.process.background_pool import BackgroundPool
from workers.process.heartbeat import HeartbeatSender
from workers.process.metrics import WorkerMetrics
from workers.process.readiness import read_readiness
from workers.process.work_dir import WorkDir
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import free_bytes
from workers.protocol.broker import WORK_TASK, make_celery, send_wake_up
from workers.protocol.live.streams import WorkerStreams
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import make_tracing
from workers.protocol.records import WorkerKind
from workers.protocol.store.job_store import JobStore, require_supported_layout
from workers.protocol.store.maintenance import Maintenance
from workers.protocol.store.worker_registry import WorkerRegistry
from workers.settings import WorkerSettings

if TYPE_CHECKING:  # imports torch
    from workers.jobs.analysis import AnalysisRunner
    from workers.live.server import StreamServer
    from workers.models.model_server import ModelServer

logger = logging.getLogger(__name__)

MAX_WAKE_UP_SECONDS = 3.0
"""Maximum seconds that one wake-up keeps claiming jobs before the worker turns to other queues."""
STOP_SECONDS = 17.0
"""Maximum seconds that a shutdown waits for webhooks that are being sent. A delivery that is cut off is made again."""


class SharedFlag:
    """Flag that is set in one process and seen in those forked from it. It has no lock, which a killed process would
    hold for ever."""

    def __init__(self) -> None:
        self._value = RawValue(ctypes.c_bool, False)

    def is_set(self) -> bool:
        return self._value.value

    def set(self) -> None:
        self._value.value = True


class Worker:
    """One worker: its parent process does maintenance, its children load the models and run jobs.

    The parent never imports torch; a child does, after the fork. A worker that needs no models has no children.
    Downloads and webhooks run in threads of their own, so that slow servers hold up neither analyses nor each other.
    """

    def __init__(self, celery: Celery, settings: WorkerSettings) -> None:
        self._celery = celery
        self._settings = settings
        self.metrics = WorkerMetrics(shared=settings.needs_models and settings.metrics_port is not None)
        self._stopping = SharedFlag()
        """Set in the parent, seen in the children: running jobs are requeued."""

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self._settings.redis_url)

    @cached_property
    def job_store(self) -> JobStore:
        return JobStore(self.redis, self._settings)

    @cached_property
    def blobs(self) -> BlobStore:
        return BlobStore.from_settings(self._settings)

    @cached_property
    def heartbeat(self) -> HeartbeatSender:
        return HeartbeatSender(WorkerRegistry(self.redis), self._settings.bundle, self._settings.worker_kinds)

    @cached_property
    def work_dir(self) -> WorkDir:
        return WorkDir(self._settings.scratch)

    @cached_property
    def telemetry(self) -> Telemetry:
        return Telemetry(self.metrics, make_tracing("worker", self._settings))

    @property
    def runner_config(self) -> RunnerConfig:
        settings = self._settings
        return RunnerConfig(
            settings.lease_seconds,
            settings.job_seconds,
            self._stopping,
            self.telemetry,
            self._has_room,
            max_concurrent=settings.pictures,
            max_per_owner=settings.fetches_per_key,
        )

    def _has_room(self) -> bool:
        return free_bytes(self._settings.scratch) >= self._settings.min_free_bytes and self.blobs.has_free_space()

    @cached_property
    def model_server(self) -> "ModelServer":
        from ml.inference.runtime import batch_metrics
        from workers.models.model_server import ModelServer

        batch_metrics.on_batch(lambda role, size: self.metrics.batch_size.labels(role).observe(size))
        return ModelServer(self._settings, self.heartbeat)

    @cached_property
    def analyses(self) -> "AnalysisRunner":
        from workers.jobs.analysis import AnalysisRunner
        from workers.jobs.partition import SplitPolicy

        return AnalysisRunner(
            self.job_store,
            self.blobs,
            self.model_server,
            self.runner_config,
            self.wake,
            self.model_server.artifact_builder,
            SplitPolicy.from_settings(self._settings),
        )

    @cached_property
    def downloads(self) -> DownloadRunner:
        return DownloadRunner(
            self.job_store,
            self.blobs,
            EgressPolicy.from_settings(self._settings),
            FetchLimits.from_settings(self._settings),
            self.runner_config,
            self.wake,
            PageDownloader.from_settings(self._settings),
        )

    @cached_property
    def webhooks(self) -> WebhookSender:
        return WebhookSender(
            self.job_store,
            self.blobs,
            EgressPolicy.from_settings(self._settings),
            self._settings.webhook_secrets,
            WebhookPolicy.from_settings(self._settings),
            self.metrics,
        )

    @cached_property
    def download_pool(self) -> BackgroundPool:
        return BackgroundPool("downloads", self.downloads.run_next, self._settings.io_concurrency)

    @cached_property
    def webhook_pool(self) -> BackgroundPool:
        return BackgroundPool("webhooks", self.webhooks.send_next, self._settings.webhook_concurrency)

    @cached_property
    def streams(self) -> "StreamServer":
        from workers.live.server import StreamServer

        models = self.model_server.current_models
        return StreamServer(WorkerStreams(self.redis), models, self._stopping, self._settings.live_streams)

    def run_jobs(self, kind: WorkerKind) -> None:
        """Body of the Celery task: run what is waiting for a kind of worker."""
        if kind == "io":
            self.webhook_pool.wake()
            self.download_pool.wake()
        elif not self.model_server.is_ready:
            return  # the jobs stay queued, and maintenance sends another wake-up
        elif kind == "inference":
            self._run_analyses()
        elif kind == "live":
            self.streams.serve()

    def _run_analyses(self) -> None:
        """Run jobs for a limited time: one wake-up may stand for many."""
        deadline = time.monotonic() + MAX_WAKE_UP_SECONDS
        while self.analyses.run_next():
            if time.monotonic() > deadline:
                return self.wake("inference")

    def start_process(self, **signal: Any) -> None:
        """Start a process that runs jobs: register it, load the models, report ready."""
        if self._settings.needs_models:  # this is a child
            memory.configure_process(self._settings.threads)
            self.metrics.close_inherited_socket()
        _ = self.work_dir
        self.heartbeat.start()
        if self._settings.needs_models:
            self.model_server.start()
        else:
            self.heartbeat.report_ready()

    def stop_process(self, **_: Any) -> None:
        if "io" in self._settings.worker_kinds:
            deadline = time.monotonic() + STOP_SECONDS
            for pool in (self.download_pool, self.webhook_pool):
                pool.stop(deadline - time.monotonic())
        if self._settings.needs_models:
            self.model_server.stop()
        self.heartbeat.stop()
        self.work_dir.remove()
        self.telemetry.tracing.shut_down()

    def shut_down(self, **_: Any) -> None:
        self._stopping.set()

    def wake(self, kind: WorkerKind) -> None:
        """Send a wake-up. One that is lost loses no job: maintenance sends another."""
        try:
            send_wake_up(self._celery, kind)
        except (OperationalError, RedisError):
            logger.warning("Redis is unavailable; the wake-up could not be sent")

    def create_maintenance(self) -> Maintenance:
        """Return the maintenance for the parent's event loop, which it must not block."""
        settings = self._settings
        redis = Redis.from_url(settings.redis_url)  # not shared with any child
        return Maintenance(
            JobStore(redis, settings),
            BlobStore.from_settings(settings),
            self._celery,
            settings,
            sweeps=False,
            on_reaped=lambda status: self.metrics.jobs_reaped.labels(status).inc(),
        )

    def start_metrics_server(self) -> None:
        """Serve metrics and readiness, if they have a port. Runs in the parent process only."""
        settings = self._settings
        if settings.metrics_port is not None:
            registry = WorkerRegistry(Redis.from_url(settings.redis_url))  # not shared with any child
            self.metrics.serve(settings.metrics_host, settings.metrics_port, lambda: read_readiness(registry))


def create_worker(settings: WorkerSettings) -> Celery:
    """Create the Celery application of a worker, which listens to the queues of its kinds and does maintenance. Raises
    UnsupportedLayout."""
    require_supported_layout(settings)
    celery = make_celery(settings)
    celery.conf.update(
        task_queues=[Queue(kind) for kind in settings.worker_kinds],
        worker_pool="prefork" if settings.needs_models else "threads",
        worker_concurrency=settings.concurrency if settings.needs_models else 1,
    )
    worker = Worker(celery, settings)
    celery.task(worker.run_jobs, name=WORK_TASK)
    started, stopped = (
        (worker_process_init, worker_process_shutdown) if settings.needs_models else (worker_ready, worker_shutdown)
    )
    started.connect(worker.start_process, weak=False)
    stopped.connect(worker.stop_process, weak=False)
    worker_shutting_down.connect(worker.shut_down, weak=False)
    setup_logging.connect(lambda **_: logs.configure("worker", settings), weak=False)

    class MetricsStep(bootsteps.StartStopStep):
        """Serves the metrics once the children are forked."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            worker.start_metrics_server()

        def stop(self, parent: Any) -> None:
            worker.metrics.close()

    class MaintenanceStep(bootsteps.StartStopStep):
        """Runs maintenance in the parent's event loop, so that it continues while the children are busy."""

        def start(self, consumer: Any) -> None:
            maintenance = worker.create_maintenance()
            maintenance.run_once()
            self.timer = consumer.timer.call_repeatedly(maintenance.interval_seconds, maintenance.run_once)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    celery.steps["worker"].add(MetricsStep)
    celery.steps["consumer"].add(MaintenanceStep)
    return celery

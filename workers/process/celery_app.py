"""The task: a wake-up works on the next job of a queue. What a worker's processes hold, and when they hold it."""

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
from workers.jobs.analysis import AnalysisEngine
from workers.jobs.partition import Lengths
from workers.jobs.runner import RunnerConfig
from workers.jobs.telemetry import Witness
from workers.outbound.downloader import FetchEngine
from workers.outbound.webhook_sender import Postman
from workers.process.heartbeat import Pulse
from workers.process.metrics import WorkerMetrics
from workers.process.work_dir import Scratch
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import free_bytes
from workers.protocol.broker import WORK, make_celery, wake
from workers.protocol.live.streams import LiveDesk
from workers.protocol.net.ssrf import Egress
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import traces_of
from workers.protocol.records import WorkerKind
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.maintenance import Upkeep
from workers.protocol.store.worker_registry import Roster
from workers.settings import WorkerSettings

if TYPE_CHECKING:  # it imports torch
    from workers.live.server import LiveHost
    from workers.models.model_server import Serving

logger = logging.getLogger(__name__)

TURN_SECONDS = 3.0
"""For which one wake-up lets a worker take up jobs of a queue."""


class SharedFlag:
    """Set in one process, seen in those that it forks. No lock: one that is killed would hold it for ever."""

    def __init__(self) -> None:
        self._value = RawValue(ctypes.c_bool, False)

    def is_set(self) -> bool:
        return self._value.value

    def set(self) -> None:
        self._value.value = True


class Worker:
    """One worker: its parent process keeps the service up, its children load the models and work on jobs.

    The parent never imports torch: a child does, after the fork. A worker that needs no models has no children: it
    works in threads of its one process.
    """

    def __init__(self, celery: Celery, settings: WorkerSettings) -> None:
        self._celery = celery
        self._settings = settings
        self.metrics = WorkerMetrics()
        self._stopping = SharedFlag()
        """Set in the parent, seen in the children: jobs under way go back."""

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self._settings.redis_url)

    @cached_property
    def pulse(self) -> Pulse:
        return Pulse(Roster(self.redis), self._settings.bundle, self._settings.worker_kinds)

    @property
    def terms(self) -> RunnerConfig:
        settings = self._settings
        return RunnerConfig(
            settings.lease_seconds,
            settings.job_seconds,
            self._stopping,
            self.witness,
            self._has_room,
            max_concurrent=settings.pictures,
        )

    def _has_room(self) -> bool:
        least = self._settings.min_free_bytes
        return free_bytes(self._settings.scratch) >= least and self._blobs.has_room()

    @cached_property
    def _blobs(self) -> Blobs:
        return Blobs.of(self._settings)

    @cached_property
    def witness(self) -> Witness:
        return Witness(self.metrics.recorder, traces_of("worker", self._settings))

    @cached_property
    def serving(self) -> "Serving":
        from ml.inference.runtime import batch_metrics
        from workers.models.model_server import Serving

        batch_metrics.listen(self.metrics.recorder.batch)
        return Serving(self._settings, self.pulse)

    @cached_property
    def analysis(self) -> AnalysisEngine:
        settings = self._settings
        job_store = JobStore(self.redis, settings)
        lengths = Lengths(self._settings.long_seconds, self._settings.part_seconds)
        return AnalysisEngine(job_store, self._blobs, self.serving, self.terms, self.wake, self.serving.studio, lengths)

    @cached_property
    def fetching(self) -> FetchEngine:
        settings = self._settings
        return FetchEngine(
            JobStore(self.redis, settings),
            self._blobs,
            Egress.of(settings),
            settings.fetch_limits,
            self.terms,
            self.wake,
            settings.page_reader,
        )

    @cached_property
    def postman(self) -> Postman:
        settings = self._settings
        return Postman(
            JobStore(self.redis, settings),
            self._blobs,
            Egress.of(settings),
            settings.webhook_secrets,
            settings.webhook_terms,
            self.metrics.recorder,
        )

    @cached_property
    def live(self) -> "LiveHost":
        from workers.live.server import LiveHost

        return LiveHost(LiveDesk(self.redis), self.serving.models, self._stopping, self._settings.live_streams)

    def work(self, kind: WorkerKind) -> None:
        if kind == "inference" and self.serving.is_ready:  # else the job waits, and the upkeep wakes somebody again
            self._work_for_a_while()
        elif kind == "io":
            self.postman.work()
            self.fetching.run_next()
        elif kind == "live" and self.serving.is_ready:
            self.live.work()

    def _work_for_a_while(self) -> None:
        """One wake-up may stand for many jobs. Then it is the turn of other queues."""
        until = time.monotonic() + TURN_SECONDS
        while self.analysis.run_next():
            if time.monotonic() > until:
                return self.wake("inference")

    @cached_property
    def scratch(self) -> Scratch:
        return Scratch(self._settings.scratch)

    def start_process(self, **signal: Any) -> None:
        """Of a process that works: says that it is there, loads, says that it is ready."""
        if self._settings.needs_models:  # it is a child
            memory.prepare(self._settings.threads)
            self.metrics.leave_to_parent()
        _ = self.scratch
        self.pulse.start()
        if self._settings.needs_models:
            self.serving.start()
        else:
            self.pulse.works()

    def stop_process(self, **_: Any) -> None:
        if self._settings.needs_models:
            self.serving.stop()
        self.pulse.stop()
        self.scratch.remove()
        self.witness.traces.close()

    def shut_down(self, **_: Any) -> None:
        self._stopping.set()

    def wake(self, kind: WorkerKind) -> None:
        """A wake-up that is lost loses no job: the upkeep sends another."""
        try:
            wake(self._celery, kind)
        except (OperationalError, RedisError):
            logger.warning("a worker could not be woken")

    def upkeep(self) -> Upkeep:
        """For the parent's own loop, which it must not hold up."""
        settings = self._settings
        redis = Redis.from_url(settings.redis_url)  # shared with no child
        return Upkeep(
            JobStore(redis, settings),
            Blobs.of(settings),
            self._celery,
            settings,
            sweeps=False,
            on_reaped=self.metrics.reaped,
        )

    def show_metrics(self) -> None:
        """Of the parent."""
        self.metrics.count()
        if self._settings.metrics_port is not None:
            self.metrics.serve(self._settings.metrics_host, self._settings.metrics_port)


def create_worker(settings: WorkerSettings) -> Celery:
    """The Celery application of a worker: it listens to the queues of its kinds, and its parent process does upkeep."""
    celery = make_celery(settings)
    celery.conf.update(
        task_queues=[Queue(kind) for kind in settings.worker_kinds],
        worker_pool="prefork" if settings.needs_models else "threads",
        worker_concurrency=settings.concurrency if settings.needs_models else settings.io_concurrency,
    )
    worker = Worker(celery, settings)
    celery.task(worker.work, name=WORK)
    begins, ends = (
        (worker_process_init, worker_process_shutdown) if settings.needs_models else (worker_ready, worker_shutdown)
    )
    begins.connect(worker.start_process, weak=False)
    ends.connect(worker.stop_process, weak=False)
    worker_shutting_down.connect(worker.shut_down, weak=False)
    setup_logging.connect(lambda **_: logs.set_up("worker", settings), weak=False)

    class MetricsStep(bootsteps.StartStopStep):
        """After the fork of the children."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            worker.show_metrics()

    class UpkeepStep(bootsteps.StartStopStep):
        """Runs in the parent's own loop, so that it goes on while the children are busy."""

        def start(self, consumer: Any) -> None:
            upkeep = worker.upkeep()
            upkeep.turn()
            self.timer = consumer.timer.call_repeatedly(upkeep.seconds, upkeep.turn)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    celery.steps["worker"].add(MetricsStep)
    celery.steps["consumer"].add(UpkeepStep)
    return celery

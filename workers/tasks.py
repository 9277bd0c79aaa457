"""The task: a wake-up works on the next job of the ledger. What a worker's processes hold, and when they hold it."""

import multiprocessing
from functools import cached_property
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutting_down
from redis import Redis

from workers.engine import Engine, Terms
from workers.pulse import Pulse, served
from workers.scratch import Scratch
from workers.settings import WorkerSettings
from workers.wire.blobs import Blobs
from workers.wire.broker import WORK
from workers.wire.ledger import Ledger
from workers.wire.roster import Roster
from workers.wire.upkeep import Upkeep


class Worker:
    """One worker: its parent process keeps the service up, its children load the models and work on jobs.

    The parent never imports torch: a child does, after the fork.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._stopping = multiprocessing.Event()
        """Set in the parent, seen in the children: jobs under way go back."""

    @cached_property
    def redis(self) -> Redis:
        return Redis.from_url(self._settings.redis_url)

    @cached_property
    def pulse(self) -> Pulse:
        return Pulse(Roster(self.redis), self._settings.bundle)

    @cached_property
    def engine(self) -> Engine:
        """Loads the models, once a process."""
        from ml.inference.pipeline import Analyser

        settings = self._settings
        analyser = Analyser.load(
            settings.model_store,
            settings.bundle,
            device=settings.device,
            licences=settings.licences,
            whisper=settings.whisper_model,
            threads=settings.threads,
            limits=settings.media_limits,
        )
        self.pulse.serves(analyser.models.bundle.digest, served(analyser.models))
        terms = Terms(settings.lease_seconds, settings.job_seconds, self._stopping)
        return Engine(Ledger(self.redis, settings), Blobs.of(settings), analyser, terms)

    def work(self) -> None:
        self.engine.work()

    @cached_property
    def scratch(self) -> Scratch:
        return Scratch(self._settings.scratch)

    def start_process(self, **signal: Any) -> None:
        """Of a child: says that it is there, loads, says that it is ready."""
        _ = self.scratch
        self.pulse.start()
        _ = self.engine

    def stop_process(self, **_: Any) -> None:
        self.pulse.stop()
        self.scratch.remove()

    def shut_down(self, **_: Any) -> None:
        self._stopping.set()

    def upkeep(self, celery: Celery) -> Upkeep:
        """For the parent's own loop, which it must not hold up."""
        settings = self._settings
        redis = Redis.from_url(settings.redis_url)  # shared with no child
        return Upkeep(Ledger(redis, settings), Blobs.of(settings), celery, settings, sweeps=False)


def register(celery: Celery, settings: WorkerSettings) -> None:
    """Adds the task to an application, and to its parent process the upkeep."""
    worker = Worker(settings)
    celery.task(worker.work, name=WORK)
    worker_process_init.connect(worker.start_process, weak=False)
    worker_process_shutdown.connect(worker.stop_process, weak=False)
    worker_shutting_down.connect(worker.shut_down, weak=False)

    class UpkeepStep(bootsteps.StartStopStep):
        """Runs in the parent's own loop, so that it goes on while the children are busy."""

        def start(self, consumer: Any) -> None:
            upkeep = worker.upkeep(celery)
            upkeep.turn()
            self.timer = consumer.timer.call_repeatedly(upkeep.seconds, upkeep.turn)

        def stop(self, consumer: Any) -> None:
            self.timer.cancel()

    celery.steps["consumer"].add(UpkeepStep)

"""The tasks: a wake-up works on the next job of the ledger; a beat takes jobs from workers that died."""

from functools import cache

from celery import Celery
from celery.signals import worker_process_init
from redis import Redis

from workers.engine import Engine
from workers.settings import WorkerSettings
from workers.wire.blobs import Blobs
from workers.wire.broker import REAP, WORK, wake
from workers.wire.ledger import Ledger


@cache
def _ledger() -> Ledger:
    settings = WorkerSettings()
    return Ledger(Redis.from_url(settings.redis_url), settings)


@cache
def _engine() -> Engine:
    """Loads the models, once a process: torch is imported here, never in the parent."""
    from ml.inference.pipeline import Analyser

    settings = WorkerSettings()
    analyser = Analyser.load(
        settings.model_store,
        settings.bundle,
        device=settings.device,
        licences=settings.licences,
        whisper=settings.whisper_model,
        threads=settings.threads,
    )
    return Engine(_ledger(), Blobs.of(settings), analyser, settings)


def register(celery: Celery) -> None:
    """Adds the tasks to an application, and the beat that reaps."""

    def work() -> None:
        _engine().work()

    def reap() -> None:
        for _ in _ledger().reap():
            wake(celery)

    celery.task(work, name=WORK)
    celery.task(reap, name=REAP)
    celery.conf.beat_schedule = {
        "reap": {"task": REAP, "schedule": WorkerSettings().lease_seconds / 3, "options": {"queue": "inference"}}
    }
    worker_process_init.connect(lambda **_: _engine(), weak=False)

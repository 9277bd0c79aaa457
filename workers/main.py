"""The Celery target: `python -m workers`, or `celery -A workers.main worker`."""

from celery import Celery

from workers.settings import WorkerSettings
from workers.tasks import register
from workers.wire.broker import make_celery


def create_worker() -> Celery:
    settings = WorkerSettings()
    celery = make_celery(settings)
    celery.conf.worker_concurrency = settings.concurrency
    register(celery, settings)
    return celery


celery = create_worker()

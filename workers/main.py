"""The Celery target: `celery -A workers.main worker`."""

from celery import Celery

from workers.settings import WorkerSettings
from workers.tasks import register
from workers.wire.broker import make_celery


def create_worker() -> Celery:
    settings = WorkerSettings()
    celery = make_celery(settings)
    register(celery, settings)
    return celery


celery = create_worker()

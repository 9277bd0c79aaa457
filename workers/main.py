"""The Celery target: `celery -A workers.main worker -B`."""

from celery import Celery

from workers.settings import WorkerSettings
from workers.tasks import register
from workers.wire.broker import make_celery


def create_worker() -> Celery:
    celery = make_celery(WorkerSettings())
    register(celery)
    return celery


celery = create_worker()

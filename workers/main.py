"""Target of `celery -A workers.main worker`."""

from workers.process.celery_app import create_worker
from workers.settings import WorkerSettings

celery = create_worker(WorkerSettings())

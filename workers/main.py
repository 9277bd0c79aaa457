"""The target of `celery -A workers.main worker`."""

from workers.settings import WorkerSettings
from workers.tasks import create_worker

celery = create_worker(WorkerSettings())

"""Target of `celery -A workers.main worker`."""

from workers.process.celery_app import create_worker
from workers.protocol.private_files import restrict_process
from workers.settings import WorkerSettings

restrict_process()
celery = create_worker(WorkerSettings())

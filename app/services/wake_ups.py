"""Wake-ups: messages that make a worker look for jobs."""

import logging

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from workers.protocol.broker import MAX_PENDING_WAKE_UPS, send_wake_up
from workers.protocol.records import WorkerKind
from workers.protocol.store.job_store import JobStore

logger = logging.getLogger(__name__)


def wake_worker(job_store: JobStore, celery: Celery, queue: WorkerKind) -> None:
    """Wake a worker of this queue unless enough wake-ups are pending. Never raises: the job store holds the job, and
    the next maintenance pass sends another wake-up."""
    try:
        if job_store.pending_wake_ups(queue) < MAX_PENDING_WAKE_UPS:
            send_wake_up(celery, queue)
    except (OperationalError, RedisError):
        logger.warning("could not wake a worker")

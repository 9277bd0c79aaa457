"""Celery over Redis.

Celery carries wake-ups only: queues, retries, results and time limits of jobs are the job store's.
"""

from celery import Celery

from workers.protocol.records import WorkerKind
from workers.protocol.settings import SharedSettings

WORK_TASK = "affect.work"
"""Name of the only task: claim and run the next jobs of a queue."""
DEFAULT_QUEUE: WorkerKind = "inference"
MAX_PENDING_WAKE_UPS = 16
"""Number of pending wake-ups at which no more are sent: they would find nothing that these do not find."""
TASK_TIME_LIMIT_SECONDS = 6 * 3600
"""Seconds after which a worker process that does not end its task is killed."""
LIVE_TASK_TIME_LIMIT_SECONDS = 30 * 86400
"""Time limit of a worker of live streams, whose task lasts as long as there are streams."""
WORKER_START_TIMEOUT_SECONDS = 600.0
"""Seconds that a worker process may take to load its models before it is considered dead."""


def make_celery(settings: SharedSettings) -> Celery:
    """Create the Celery application that gateway and workers share: JSON only, one message at a time, late
    acknowledgement. A message stays invisible to other workers for longer than any task may take."""
    celery = Celery("affect", broker=_broker_url(settings.redis_url))
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_TIME_LIMIT_SECONDS,
        task_default_queue=DEFAULT_QUEUE,
        worker_proc_alive_timeout=WORKER_START_TIMEOUT_SECONDS,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,  # nothing uses it, and a killed worker would leave its name in Redis
        broker_transport_options={"visibility_timeout": TASK_TIME_LIMIT_SECONDS + 3600},
        visibility_timeout=TASK_TIME_LIMIT_SECONDS + 3600,
        broker_connection_retry_on_startup=True,
    )
    return celery


def _broker_url(redis_url: str) -> str:
    """Return the URL in kombu's form: another scheme for sockets, and TLS that verifies certificates."""
    scheme, _, rest = redis_url.partition("://")
    if scheme == "rediss" and "ssl_cert_reqs=" not in rest:
        rest += f"{'&' if '?' in rest else '?'}ssl_cert_reqs=required"
    return f"{'redis+socket' if scheme == 'unix' else scheme}://{rest}"


def send_wake_up(celery: Celery, queue: WorkerKind) -> None:
    """Wake one worker of a kind, because a job or a stream waits. Raises OperationalError, RedisError."""
    limit = LIVE_TASK_TIME_LIMIT_SECONDS if queue == "live" else TASK_TIME_LIMIT_SECONDS
    celery.send_task(WORK_TASK, (queue,), queue=queue, ignore_result=True, time_limit=limit)


def send_wake_up_if_needed(celery: Celery, queue: WorkerKind) -> None:
    """Wake one worker of a kind unless enough wake-ups are pending: a list that callers can lengthen must end. Raises
    OperationalError, RedisError."""
    if pending_wake_ups(celery, queue) < MAX_PENDING_WAKE_UPS:
        send_wake_up(celery, queue)


def pending_wake_ups(celery: Celery, queue: WorkerKind) -> int:
    """Return how many wake-ups no worker of this kind has taken yet."""
    with celery.connection_for_read() as connection:
        return int(connection.default_channel.client.llen(queue))

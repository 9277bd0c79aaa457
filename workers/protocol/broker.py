"""Celery over Redis: it delivers wake-ups, the job store decides which job is worked on."""

from celery import Celery

from workers.protocol.records import WorkerKind
from workers.protocol.settings import SharedSettings

WORK_TASK = "affect.work"
DEFAULT_QUEUE: WorkerKind = "inference"
MAX_PENDING_WAKE_UPS = 16
"""Messages that no worker has taken yet: another would find nothing to do that these do not find."""
TASK_TIME_LIMIT_SECONDS = 6 * 3600
"""Seconds after which a worker process that does not end is killed."""
LIVE_TASK_TIME_LIMIT_SECONDS = 30 * 86400
"""The same for a worker of live streams, whose work goes on while there are any."""
WORKER_START_TIMEOUT_SECONDS = 600.0
"""For which a worker process may load its models before it is taken for dead."""


def make_celery(settings: SharedSettings) -> Celery:
    """The Celery application that gateway and workers share: JSON only, one message at a time, acknowledged late.

    A message stays hidden from other workers for longer than any job may take.
    """
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
        broker_transport_options={"visibility_timeout": TASK_TIME_LIMIT_SECONDS + 3600},
        visibility_timeout=TASK_TIME_LIMIT_SECONDS + 3600,
        broker_connection_retry_on_startup=True,
    )
    return celery


def _broker_url(redis_url: str) -> str:
    """As kombu wants it: sockets have another scheme, and TLS without a word about certificates would trust any."""
    scheme, _, rest = redis_url.partition("://")
    if scheme == "rediss" and "ssl_cert_reqs=" not in rest:
        rest += f"{'&' if '?' in rest else '?'}ssl_cert_reqs=required"
    return f"{'redis+socket' if scheme == 'unix' else scheme}://{rest}"


def send_wake_up(celery: Celery, queue: WorkerKind) -> None:
    """Tells one worker of that kind that a job, or a stream, waits."""
    limit = LIVE_TASK_TIME_LIMIT_SECONDS if queue == "live" else TASK_TIME_LIMIT_SECONDS
    celery.send_task(WORK_TASK, (queue,), queue=queue, ignore_result=True, time_limit=limit)


def pending_wake_ups(celery: Celery, queue: WorkerKind) -> int:
    """How many wake-ups for a kind of worker none has taken yet."""
    with celery.connection_for_read() as connection:
        return int(connection.default_channel.client.llen(queue))

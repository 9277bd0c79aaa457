"""The job store: state of every job, in Redis.

A record is a hash. Each change is one Lua script (`store/lua/jobs`), so that two workers, a late writer or a crash
between two commands cannot leave a job in two states. Each kind of worker has a queue, in which the owners of jobs take
turns by the seconds of work that they have used. A claim carries a fencing token; every later write names it and is
rejected if a newer claim exists (Kleppmann, "How to do distributed locking", 2016).

Redis holds ids and states only. What the caller wrote (names, options, tags) is stored in blobs; for tags Redis holds
digests. `store/keys.py` lists the keys.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from ml.errors import AffectError, Cancelled
from ml.vocabulary import Stage
from workers.protocol.records import (
    FINAL_STATUSES,
    WORKER_KINDS,
    Claim,
    Failure,
    JobRecord,
    JobStatus,
    WorkerKind,
)
from workers.protocol.settings import SharedSettings
from workers.protocol.store.idempotency import IdempotencyStore, Reservation
from workers.protocol.store.keys import KEY_LAYOUT, KEY_PREFIX
from workers.protocol.store.scripts import Scripts
from workers.protocol.store.webhook_queue import WebhookQueue

EXPIRED_OWNER_TTL_SECONDS = 7 * 86400
"""Seconds for which an expired job is distinguished from one that never existed."""
UPLOAD_TTL_SECONDS = 900
"""Seconds after which an upload that was not renewed is considered dead."""
LOCK_SECONDS, LOCK_WAIT_SECONDS = 30, 10
"""Seconds after which the lock of a process that died is free; seconds to wait for a lock."""
_LAYOUT_TIMEOUT_SECONDS = 2.0
"""Seconds to wait for Redis when a process starts."""

_WORKER_LOST = Failure(code="worker_lost", message="The workers that tried this job died.", retryable=True)
_JOB_LEASE_LOST = "The job belongs to another worker now."


class UnsupportedLayout(AffectError):
    """Redis contains job data in a layout that this version cannot read."""


class QueueFull(AffectError):
    """The queue, or the caller's share of it, is full. `retry_after`: seconds until it certainly is not; None if
    unknown."""

    code = "too_many_jobs"
    retryable = True
    retry_after: float | None = None


class ReservationLost(AffectError):
    """The idempotency key is reserved by another request."""

    code = "idempotency_in_progress"
    retryable = True


class LeaseLost(AffectError):
    """The job has a newer claim, was deleted or has ended. The worker must stop and write nothing."""

    code = "worker_lost"


@dataclass(frozen=True)
class Quota:
    """Limits of one owner: jobs that wait, and bytes of stored media."""

    max_queued_jobs: float = math.inf
    max_stored_bytes: float = math.inf


@dataclass(frozen=True)
class NewJobs:
    """Jobs that one request creates.

    Args:
        has_webhook: Whether a webhook is sent when each of them ends.
        keeps_media: Whether the media stay when a job has succeeded.
        media_bytes: Size of the media of each job; 0 for all by default.
        small: Whether each job may be claimed and run together with others; False for all by default.
    """

    ids: Sequence[str]
    owner: str
    tags: Sequence[str] = ()
    queue: WorkerKind = "inference"
    has_webhook: bool = False
    keeps_media: bool = False
    media_bytes: Sequence[int] = ()
    small: Sequence[bool] = ()


@dataclass(frozen=True)
class Page:
    """Part of a list of records. `next_cursor`: where the next page begins; None at the end of the list."""

    records: tuple[JobRecord, ...]
    next_cursor: int | None


@dataclass(frozen=True)
class QueueLoad:
    """Number of waiting jobs in a queue, and age of the oldest in seconds."""

    depth: int
    oldest_seconds: float


@dataclass(frozen=True)
class ServiceLoad:
    """Load of each queue, and number of running jobs."""

    queues: Mapping[WorkerKind, QueueLoad]
    running: int


class JobStore:
    """All reads and writes of job records. Safe to share between threads.

    `prefix` allows several services to share one Redis. Every method raises RedisError.
    """

    def __init__(self, redis: Redis, settings: SharedSettings, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = prefix
        self.webhook_queue = WebhookQueue(redis, prefix)
        self.idempotency = IdempotencyStore(redis, prefix)
        self._scripts = Scripts(redis, "jobs")

    def _run(self, script: str, *values: str | float) -> Any:
        return self._scripts.run(script, self._prefix, *values)

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def check_layout(self) -> None:
        """Mark a new Redis with the layout of this version. Raises UnsupportedLayout if Redis has another layout."""
        key = self._key("layout")
        self._redis.set(key, KEY_LAYOUT, nx=True)
        layout = cast(bytes, self._redis.get(key))
        if layout != KEY_LAYOUT:
            raise UnsupportedLayout(
                f"Redis contains job data in layout {layout.decode(errors='replace')}, but this version of Affect only "
                f"supports layout {KEY_LAYOUT.decode()}. Run the version that wrote the data, or use another Redis."
            )

    def create(self, jobs: NewJobs, quota: Quota = Quota(), reservation: Reservation | None = None) -> None:
        """Create queued jobs, all or none, and store their ids under the reserved idempotency key.

        Raises QueueFull if a limit would be exceeded, ReservationLost.
        """
        tags = " ".join(_digest(jobs.owner, tag) for tag in jobs.tags)
        key = reservation or Reservation(key_digest="", holder="", ttl_seconds=0)
        none = (0,) * len(jobs.ids)
        each = zip(jobs.ids, jobs.media_bytes or none, map(int, jobs.small or none), strict=True)
        _raise_rejection(
            self._run(
                "create",
                jobs.owner,
                *self._limits(quota),
                *(tags, jobs.queue, int(jobs.has_webhook), int(jobs.keeps_media)),
                *(key.key_digest, key.holder, key.fingerprint, key.ttl_seconds),
                *(value for job in each for value in job),
            )
        )

    def check_capacity(self, owner: str, quota: Quota = Quota()) -> None:
        """Raise QueueFull if the owner may not create even one more job."""
        _raise_rejection(self._run("check_capacity", owner, *self._limits(quota), 1, 1))

    def _limits(self, quota: Quota) -> tuple[float, float, float, float]:
        settings = self._settings
        return settings.max_queued, quota.max_queued_jobs, quota.max_stored_bytes, settings.compute_per_key

    def estimate_seconds(self, jobs: int) -> float:
        """Return the seconds until that many more jobs have ended, at the current pace; 0 if the pace is unknown."""
        return float(self._run("estimate_seconds", jobs))

    def claim(self, queue: WorkerKind = "inference") -> Claim | None:
        """Claim the next job of a queue, in turn among the owners. Returns None if no job waits."""
        return next(iter(self.claim_batch(queue, 1)), None)

    def claim_batch(
        self, queue: WorkerKind, max_claims: int, *, small_only: bool = False, max_per_owner: int = 0
    ) -> list[Claim]:
        """Claim the next job of a queue; if it is small, also the small ones that follow it, in turn among the owners.

        Args:
            small_only: Claim small jobs only, which then need not wait for long ones before them.
            max_per_owner: Maximum running jobs of an owner in this queue; 0 for any number.

        Returns an empty list if no such job waits, or if their owners have used up their hour's compute.
        """
        settings = self._settings
        values = (settings.lease_seconds, queue, max_claims, int(small_only), max_per_owner, settings.compute_per_key)
        return [_claim(reply) for reply in self._run("claim", *values)]

    def renew(self, claim: Claim, stage: Stage | None = None, progress: float = 0.0) -> bool:
        """Renew the lease and store stage and progress. Returns whether the caller asked to cancel the job. Raises
        LeaseLost."""
        values = (self._settings.lease_seconds, stage or "", f"{progress:.3f}")
        reply = self._run("renew", claim.member, claim.token, *values)
        if reply < 0:
            raise LeaseLost(_JOB_LEASE_LOST)
        return bool(reply)

    def finish(
        self, claim: Claim, status: JobStatus, failure: Failure | None = None, stage: Stage | None = None
    ) -> None:
        """Write the final status of a job, and the stage in which it ended. A part that fails ends its job. Raises
        LeaseLost."""
        failure_json = failure.model_dump_json() if failure else ""
        values = (claim.member, claim.token, status, stage or "", failure_json, self._settings.result_ttl)
        if status not in FINAL_STATUSES or not self._run("finish", *values):
            raise LeaseLost(_JOB_LEASE_LOST)

    def hand_off(self, claim: Claim, queue: WorkerKind = "inference") -> None:
        """Move a job with downloaded media to another queue, where its attempts are counted from 0 again. Raises
        LeaseLost; Cancelled if the caller asked to cancel the job."""
        _check_claimed(self._run("hand_off", claim.job_id, claim.token, queue))

    def split(self, claim: Claim, count: int) -> None:
        """Split a job into parts, which wait in its queue; their attempts are counted from 0. Raises LeaseLost;
        Cancelled if the caller asked to cancel the job."""
        _check_claimed(self._run("split", claim.job_id, claim.token, count))

    def complete_part(self, claim: Claim) -> Claim | None:
        """Mark a part as done, after its features were stored. Returns the claim of the job if this was the last part,
        for the worker to join the parts. Raises LeaseLost."""
        reply = self._run("complete_part", claim.member, claim.token, self._settings.lease_seconds)
        if reply == 0:
            raise LeaseLost("The part belongs to another worker now.")
        return None if reply == 1 else _claim(reply)

    def requeue(self, claim: Claim) -> None:
        """Return a job to its place in the queue without counting the attempt, as a worker that shuts down does."""
        self._run("requeue", claim.member, claim.token, self._settings.result_ttl)

    def fail_attempt(self, claim: Claim, failure: Failure) -> JobStatus | None:
        """Return a job to its place in the queue for another attempt; after the last attempt, end it with this failure.

        Returns the status of the job then; None if the claim was lost.
        """
        values = (self._settings.max_attempts, failure.model_dump_json(), self._settings.result_ttl)
        status = self._run("fail_attempt", claim.member, claim.token, *values)
        return status.decode() if status else None

    def reap_expired_leases(self) -> dict[str, JobStatus]:
        """Take jobs with an expired lease from their workers: each is queued again or ends. Returns their status by
        id."""
        values = (self._settings.max_attempts, _WORKER_LOST.model_dump_json(), self._settings.result_ttl)
        return {job_id.decode(): status.decode() for job_id, status in self._run("reap", *values)}

    def cancel(self, job_id: str) -> JobStatus | None:
        """Cancel a job: at once if it waits or was split, otherwise when its worker next renews its lease.

        Returns the status that the job had (`queued` also if it was split: no worker will end it); None if there is no
        such job.
        """
        status = self._run("cancel", job_id, self._settings.result_ttl)
        return status.decode() if status else None

    def get(self, job_id: str) -> JobRecord | None:
        """Return a record; None if the id is unknown, deleted or expired."""
        reply = self._run("read", job_id)
        return _record(reply) if reply else None

    def page(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        tag: str | None = None,
        limit: int = 20,
        before: int | None = None,
    ) -> Page:
        """Return an owner's jobs, newest first. `before`: the `next_cursor` of the previous page.

        A page may hold fewer than `limit` records although more follow, if a filter passes few of very many jobs.
        """
        start = "" if before is None else str(before)
        digest = "" if tag is None else _digest(owner, tag)
        last, replies = self._run("page", owner, start, status or "", digest, limit)
        return Page(tuple(map(_record, replies)), int(last) if last else None)

    def edit(self, record: JobRecord, edition: str, result_edition: str, tags: Sequence[str]) -> bool:
        """Store that the caller changed a job: the names of the change and of its result, and all tags of the job.

        Returns False if the job was changed since the record was read, or deleted.
        """
        digests = " ".join(_digest(record.owner, tag) for tag in tags)
        return bool(self._run("edit", record.id, record.edition, edition, result_edition, digests))

    def expire(self) -> list[str]:
        """Delete ended jobs that are no longer kept. Returns their ids; the caller deletes their blobs."""
        return [job_id.decode() for job_id in self._run("expire", EXPIRED_OWNER_TTL_SECONDS)]

    def owner_of_expired(self, job_id: str) -> str | None:
        """Return the owner of an expired job; None unless it expired within `EXPIRED_OWNER_TTL_SECONDS`."""
        owner = cast(bytes | None, self._redis.get(self._key("expired", job_id)))
        return owner.decode() if owner else None

    def delete(self, job_id: str) -> None:
        """Delete a job. A worker that runs it loses its claim."""
        self._run("delete", job_id)

    def queue_length(self, *queues: WorkerKind) -> int:
        """Return how many jobs and parts wait in these queues; in all queues by default."""
        return int(self._run("queue_length", *(queues or WORKER_KINDS)))

    def pending_wake_ups(self, queue: WorkerKind) -> int:
        """Return how many wake-ups no worker of this kind has taken yet."""
        return self._redis.llen(queue)

    def load(self) -> ServiceLoad:
        """Return how many jobs wait and run."""
        queues, running = self._run("load")
        loads = {name.decode(): QueueLoad(depth, max(float(oldest), 0.0)) for name, depth, oldest in queues}
        return ServiceLoad(cast(dict[WorkerKind, QueueLoad], loads), running)

    def compact_append_only_file(self) -> None:
        """Make Redis rewrite its append-only file if that still mentions a deleted job."""
        key = self._key("erased")
        if not self._redis.exists(key) or not cast(dict[str, int], self._redis.info("persistence"))["aof_enabled"]:
            return
        needs_another = bool(self._redis.exists(self._key("erasing")))
        self._redis.delete(key)
        try:
            self._redis.bgrewriteaof()
        except ResponseError:  # a rewrite is running, which may have begun before the deletion
            needs_another = True
        if needs_another:
            self._redis.set(key, 1)

    def renew_upload(self, job_id: str) -> None:
        """Record that the media of a future job are still arriving. Call again within `UPLOAD_TTL_SECONDS`."""
        self._redis.set(self._key("upload", job_id), 1, ex=UPLOAD_TTL_SECONDS)

    def exists(self, job_id: str) -> bool:
        """Return whether there is such a job, or an upload that is to become one."""
        return bool(self._redis.exists(self._key("job", job_id), self._key("upload", job_id)))

    @contextmanager
    def lock(self, job_id: str) -> Iterator[None]:
        """Let one caller at a time change what is stored with a job. Raises LockError, a RedisError, if others keep
        it for `LOCK_WAIT_SECONDS`."""
        key = self._key("lock", job_id)
        with self._redis.lock(key, timeout=LOCK_SECONDS, blocking_timeout=LOCK_WAIT_SECONDS):
            yield

    def acquire_periodic_lock(self, name: str, seconds: float) -> bool:
        """Return whether the caller should run a task that one process runs every `seconds`."""
        return bool(self._redis.set(self._key("turn", name), 1, px=max(1, round(seconds * 1000)), nx=True))


def require_supported_layout(settings: SharedSettings) -> None:
    """Check the layout before a process of the service starts, if Redis is reachable.

    Raises UnsupportedLayout. A Redis that is reachable later only is checked by the maintenance.
    """
    no_retry = Retry(NoBackoff(), 0)
    with Redis.from_url(settings.redis_url, retry=no_retry, socket_timeout=_LAYOUT_TIMEOUT_SECONDS) as redis:
        with suppress(RedisError):
            JobStore(redis, settings).check_layout()


_REJECTIONS = {
    b"jobs": "The queue is full. Try again later.",
    b"own_jobs": "Too many of your jobs are queued. Try again later.",
    b"own_bytes": "Too many bytes of your media are stored. Try again when jobs have ended.",
    b"own_compute": "Your jobs have used this hour's compute time. Try again in the next hour.",
}


def _raise_rejection(reason: bytes | None) -> None:
    if reason == b"reservation":
        raise ReservationLost("Another request with this key is in progress.")
    if reason is not None:
        name, _, seconds = reason.partition(b" ")
        error = QueueFull(_REJECTIONS[name])
        error.retry_after = float(seconds) if seconds else None
        raise error


def _check_claimed(reply: int) -> None:
    if reply == 2:
        raise Cancelled("The job was cancelled.")
    if not reply:
        raise LeaseLost(_JOB_LEASE_LOST)


def _digest(owner: str, tag: str) -> str:
    return hashlib.sha256(f"{owner}\0{tag}".encode()).hexdigest()[:32]


def _claim(reply: list[Any]) -> Claim:
    """Parse the reply of the Lua function `claim_reply`."""
    job_id, token, attempt, fetch_token, waited_seconds, part, split_token, *part_tokens = reply
    return Claim(
        job_id=job_id.decode(),
        token=token,
        attempt=attempt,
        fetch_token=fetch_token,
        waited_seconds=float(waited_seconds),
        part=int(part) if part else None,
        split_token=split_token,
        part_tokens=tuple(part_tokens),
    )


def _record(reply: list[Any]) -> JobRecord:
    """Parse the reply of the Lua function `record_reply`."""
    job_id, flat_fields, position, last_event_id, wait_seconds = reply
    fields = {name.decode(): value.decode() for name, value in zip(flat_fields[::2], flat_fields[1::2], strict=True)}
    failure = Failure.model_validate_json(fields["failure"]) if fields.get("failure") else None
    if failure is not None and failure.stage is None:
        failure = failure.model_copy(update={"stage": fields.get("stage")})
    return JobRecord(
        id=job_id.decode(),
        owner=fields["owner"],
        queue=fields["queue"],
        status=fields["status"],
        stage=fields.get("stage"),
        progress=float(fields["progress"]),
        position=position,
        estimated_wait_seconds=float(wait_seconds),
        attempts=int(fields["attempts"]),
        token=int(fields["token"]),
        fetch_token=int(fields.get("fetched", 0)),
        has_webhook=fields.get("webhook") == "1",
        cancel_requested=fields.get("cancel") == "1",
        edition=fields.get("edition", ""),
        result_edition=fields.get("result_edition", ""),
        last_event_id=last_event_id.decode(),
        failure=failure,
        **{
            name: datetime.fromtimestamp(float(fields[name]), UTC)
            for name in ("created_at", "started_at", "finished_at")
            if name in fields
        },
    )

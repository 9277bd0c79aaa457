"""The job store: the truth about every job, in Redis.

A record is a hash. Each change is one Lua script, so that two workers, a late writer or a crash between two commands
cannot leave a job in two states. Each kind of worker has a queue. In a queue, jobs lie in a sorted set for each owner,
and the owners in a ring: a claim takes the first job of the first owner and sends that owner to the back. A claim
carries a fencing token; every later write names it and is refused when a newer claim exists (Kleppmann, "How to do
distributed locking", 2016).

Redis holds ids and states only: what a caller wrote (names, options, tags) lies in blobs; of a tag it holds a digest.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis, ResponseError

from ml.errors import AffectError, Cancelled
from ml.vocabulary import Stage
from workers.protocol.records import FINAL_STATUSES, WORKER_KINDS, Claim, Failure, JobRecord, JobStatus, WorkerKind
from workers.protocol.settings import SharedSettings
from workers.protocol.store import scripts
from workers.protocol.store.idempotency import IdempotencyStore, Reservation
from workers.protocol.store.webhook_queue import WebhookQueue

KEY_PREFIX = "affect:"
EXPIRED_OWNER_TTL_SECONDS = 7 * 86400
"""Seconds for which an expired job is told from one that never was."""
UPLOAD_TTL_SECONDS = 900
"""Seconds for which an upload that nobody has spoken for since is taken to be under way."""

KEY_LAYOUT = b"2"
"""Of the keys. Redis says which one it has in the key `layout`."""
EARLIER_RING = "ring"
"""Where an earlier version keeps the owners of waiting jobs."""

_LOST = Failure(code="worker_lost", message="The workers that tried this job died.", retryable=True)


class QueueFull(AffectError):
    """As many jobs wait as may."""

    code = "too_many_jobs"
    retryable = True


class ReservationLost(AffectError):
    """The idempotency key belongs to another request by now."""

    code = "idempotency_in_progress"
    retryable = True


class LeaseLost(AffectError):
    """The job belongs to a newer claim, was deleted, or is final: stop, and write nothing."""

    code = "worker_lost"


@dataclass(frozen=True)
class Quota:
    """Most jobs of one owner that wait, and bytes of its media that are stored, at once."""

    max_queued_jobs: float = math.inf
    max_stored_bytes: float = math.inf


@dataclass(frozen=True)
class Page:
    """Some records of a longer list; `next` is where the rest of it begins, null at its end."""

    records: tuple[JobRecord, ...]
    next_cursor: int | None


@dataclass(frozen=True)
class QueueLoad:
    """How many jobs wait in a queue, and for how many seconds the oldest has."""

    depth: int
    oldest_seconds: float


@dataclass(frozen=True)
class ServiceLoad:
    """What there is to do: by queue, and how many jobs are worked on."""

    queues: Mapping[WorkerKind, QueueLoad]
    running: int


class JobStore:
    """All reads and writes of job records. Safe to share between threads. `prefix` keeps one Redis for several uses."""

    def __init__(self, redis: Redis, settings: SharedSettings, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = prefix
        self.webhook_queue = WebhookQueue(redis, prefix)
        self.idempotency = IdempotencyStore(redis, prefix)
        self._scripts = {name: redis.register_script(script) for name, script in scripts.ALL.items()}

    def _run(self, script: str, *values: str | float) -> Any:
        return self._scripts[script]([], [self._prefix, *values])

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def create(
        self,
        job_ids: Sequence[str],
        owner: str,
        tags: Iterable[str] = (),
        queue: WorkerKind = "inference",
        *,
        webhook: bool = False,
        keeps_media: bool = False,
        sizes: Sequence[int] | None = None,
        small: Sequence[bool] | None = None,
        quota: Quota = Quota(),
        reservation: Reservation | None = None,
    ) -> None:
        """Writes queued jobs, all or none; `webhook`: somebody is to be told of their end; `sizes`: bytes of their
        media; `small`: whether they are worked on beside others; `pledge` is kept with them. Raises QueueFull when more
        would wait or be stored than may, PledgeLost."""
        digests = " ".join(_digest(owner, tag) for tag in tags)
        kept = (
            (reservation.key_digest, reservation.holder, reservation.fingerprint, reservation.ttl_seconds)
            if reservation
            else ("", "", "", 0)
        )
        none = [0] * len(job_ids)
        jobs = [part for job in zip(job_ids, sizes or none, map(int, small or none), strict=True) for part in job]
        about = (digests, queue, int(webhook), int(keeps_media))
        _admit(self._run("create", owner, *self._bounds(quota), *about, *kept, *jobs))

    def check_capacity(self, owner: str, quota: Quota = Quota()) -> None:
        """Raises QueueFull where not even one job more of the owner may wait."""
        _admit(self._run("room", owner, *self._bounds(quota), 1, 1))

    def _bounds(self, quota: Quota) -> tuple[float, float, float]:
        return self._settings.max_queued, quota.max_queued_jobs, quota.max_stored_bytes

    def estimate_seconds(self, jobs: int) -> float:
        """Until so many jobs more have ended, as they do now; 0 where that is not known."""
        return float(self._run("pace", jobs))

    def claim(self, queue: WorkerKind = "inference") -> Claim | None:
        """The next job of a queue, round-robin over the owners; null when none waits."""
        return next(iter(self.claim_batch(queue, 1)), None)

    def claim_batch(self, queue: WorkerKind, most: int, *, small: bool = False) -> list[Claim]:
        """The next job of a queue, and where it is a small one those after it as long as they are, each in the turn of
        its owner. Empty when none waits; of `small` ones alone also where another comes first."""
        values = (self._settings.lease_seconds, queue, most, int(small))
        return [_claim(found) for found in self._run("claim", *values)]

    def renew(self, claim: Claim, stage: Stage | None = None, progress: float = 0.0) -> bool:
        """Holds the lease, and tells where the work is. True: the caller wants it to stop. Raises LeaseLost."""
        told = (stage or "", f"{progress:.3f}")
        answer = self._run("renew", claim.member, claim.token, self._settings.lease_seconds, *told)
        if answer < 0:
            raise LeaseLost("The job belongs to another worker now.")
        return bool(answer)

    def finish(
        self, claim: Claim, status: JobStatus, failure: Failure | None = None, stage: Stage | None = None
    ) -> None:
        """Writes the one final state, and the stage where it ended; a part that fails ends its job. Raises LeaseLost
        when there is none to write."""
        told = failure.model_dump_json() if failure else ""
        values = (claim.member, claim.token, status, stage or "", told, self._settings.result_ttl)
        if status not in FINAL_STATUSES or not self._run("finish", *values):
            raise LeaseLost("The job belongs to another worker now.")

    def hand_off(self, claim: Claim, queue: WorkerKind = "inference") -> None:
        """The media were fetched under this claim: the job waits in the next queue, where its attempts count anew.
        Raises LeaseLost, or Cancelled where the caller has asked for a stop meanwhile."""
        answer = self._run("pass_on", claim.job_id, claim.token, queue)
        if answer == 2:
            raise Cancelled("The job was cancelled.")
        if not answer:
            raise LeaseLost("The job belongs to another worker now.")

    def split(self, claim: Claim, count: int) -> None:
        """The job is worked on in so many parts from now on, which wait in its queue; their attempts count anew. Raises
        LeaseLost, or Cancelled where the caller has asked for a stop meanwhile."""
        answer = self._run("split", claim.job_id, claim.token, count)
        if answer == 2:
            raise Cancelled("The job was cancelled.")
        if not answer:
            raise LeaseLost("The job belongs to another worker now.")

    def complete_part(self, claim: Claim) -> Claim | None:
        """What the part was to give is stored. After the last one: the claim of the job, whose parts are to be joined.
        Raises LeaseLost."""
        answer = self._run("part_done", claim.member, claim.token, self._settings.lease_seconds)
        if answer == 0:
            raise LeaseLost("The part belongs to another worker now.")
        return None if answer == 1 else _claim(answer)

    def requeue(self, claim: Claim) -> None:
        """Puts the job back in its place, as a worker that shuts down does: no attempt is counted."""
        self._run("hand_back", claim.member, claim.token, self._settings.result_ttl)

    def fail_attempt(self, claim: Claim, failure: Failure) -> JobStatus | None:
        """Puts the job back in its place for another attempt; after the last one it ends with this failure. The job's
        status then; null when the claim was lost."""
        values = (self._settings.max_attempts, failure.model_dump_json(), self._settings.result_ttl)
        status = self._run("release", claim.member, claim.token, *values)
        return status.decode() if status else None

    def reap_expired_leases(self) -> dict[str, JobStatus]:
        """Takes jobs whose lease has lapsed from their workers: each is queued again or ends. Their states, by id."""
        found = self._run("reap", self._settings.max_attempts, _LOST.model_dump_json(), self._settings.result_ttl)
        return {job_id.decode(): status.decode() for job_id, status in found}

    def cancel(self, job_id: str) -> JobStatus | None:
        """Asks for a stop: a queued job ends at once, so does one in parts, a running one when its worker next looks.
        Returns the status that the job had (`queued` also where it was in parts: no worker will end it); null when
        there is none."""
        status = self._run("cancel", job_id, self._settings.result_ttl)
        return status.decode() if status else None

    def get(self, job_id: str) -> JobRecord | None:
        """The record; null for an id that is unknown, deleted or expired."""
        found = self._run("read", job_id)
        return _record(found) if found else None

    def page(
        self,
        owner: str,
        *,
        status: JobStatus | None = None,
        tag: str | None = None,
        limit: int = 20,
        before: int | None = None,
    ) -> Page:
        """An owner's jobs, newest first; `before` is the `next` of the page before this one.

        A page may hold fewer than `limit` though more follow, where a filter passes few of very many jobs.
        """
        start = "" if before is None else str(before)
        digest = "" if tag is None else _digest(owner, tag)
        last, found = self._run("page", owner, start, status or "", digest, limit)
        return Page(tuple(_record(each) for each in found), int(last) if last else None)

    def expire(self) -> list[str]:
        """Forgets finished jobs whose time is over, and returns their ids; their blobs are the caller's to delete."""
        return [raw.decode() for raw in self._run("expire", EXPIRED_OWNER_TTL_SECONDS)]

    def owner_of_expired(self, job_id: str) -> str | None:
        """Whose the job was; null unless it has expired, within `EXPIRED_MEMORY`."""
        owner = cast(bytes | None, self._redis.get(self._key("expired", job_id)))
        return owner.decode() if owner else None

    def delete(self, job_id: str) -> None:
        """Leaves nothing of the job. A worker that holds it loses its claim."""
        self._run("delete", job_id)

    def queue_length(self, *queues: WorkerKind) -> int:
        """How many jobs wait; in these queues, or in all."""
        return int(self._run("queued", *(queues or WORKER_KINDS)))

    def pending_wake_ups(self, queue: WorkerKind) -> int:
        """How many messages to the workers of a queue wait."""
        return self._redis.llen(queue)

    def load(self) -> ServiceLoad:
        """How much waits, and how much is worked on."""
        queues, running = self._run("load")
        found = {name.decode(): QueueLoad(depth, max(float(oldest), 0.0)) for name, depth, oldest in queues}
        return ServiceLoad(cast(dict[WorkerKind, QueueLoad], found), running)

    def compact_append_only_file(self) -> None:
        """Makes Redis write its append-only file anew where that still tells of a deleted job."""
        key = self._key("erased")
        if not self._redis.exists(key) or not cast(dict[str, int], self._redis.info("persistence"))["aof_enabled"]:
            return
        again = bool(self._redis.exists(self._key("erasing")))
        self._redis.delete(key)
        try:
            self._redis.bgrewriteaof()
        except ResponseError:  # it is being written just now, perhaps from before the deletion
            again = True
        if again:
            self._redis.set(key, 1)

    def renew_upload(self, job_id: str) -> None:
        """Says that the media of a job to be are still arriving; to be said again within `UPLOAD_HOLD`."""
        self._redis.set(self._key("upload", job_id), 1, ex=UPLOAD_TTL_SECONDS)

    def exists(self, job_id: str) -> bool:
        """Whether there is such a job, or an upload that is to become one."""
        return bool(self._redis.exists(self._key("job", job_id), self._key("upload", job_id)))

    def is_settled(self) -> bool:
        """Whether all that Redis holds is laid out as this version does it."""
        layout = cast(bytes | None, self._redis.get(self._key("layout")))
        return layout == KEY_LAYOUT and not self._redis.exists(self._key(EARLIER_RING))

    def earlier_jobs(self) -> Iterator[str]:
        """The jobs of before there were queues by kind."""
        records = self._key("job", "")
        for key in self._redis.scan_iter(f"{records}*", count=1000):
            if not self._redis.hexists(key, "queue"):
                yield key.decode().removeprefix(records)

    def adopt(self, job_id: str) -> None:
        """Gives such a job its queue, and its place there where it waits."""
        self._run("adopt", job_id)

    def settle(self) -> None:
        """There are no such jobs any more."""
        self._redis.delete(self._key(EARLIER_RING))
        self._redis.set(self._key("layout"), KEY_LAYOUT)

    def acquire_periodic_lock(self, chore: str, seconds: float) -> bool:
        """Whether it falls to the caller to do a chore that is done once in so many seconds, whoever does it."""
        return bool(self._redis.set(self._key("turn", chore), 1, px=max(1, round(seconds * 1000)), nx=True))


_FULL = {
    b"jobs": "As many jobs are waiting as are allowed: try again later.",
    b"own_jobs": "As many of your jobs are waiting as are allowed: try again later.",
    b"own_bytes": "As many bytes of your media are stored as are allowed: try again when jobs have ended.",
}


def _admit(reason: bytes | None) -> None:
    if reason is None:
        return
    if reason == b"pledge":
        raise ReservationLost("Another request with this key is being answered.")
    raise QueueFull(_FULL[reason])


def _digest(owner: str, tag: str) -> str:
    return hashlib.sha256(f"{owner}\0{tag}".encode()).hexdigest()[:32]


def _claim(found: list[Any]) -> Claim:
    job_id, token, attempt, fetched, waited, part, split, *parts = found
    return Claim(
        job_id=job_id.decode(),
        token=token,
        attempt=attempt,
        fetch_token=fetched,
        waited_seconds=float(waited),
        part=int(part) if part else None,
        split_token=split,
        part_tokens=tuple(parts),
    )


def _record(found: list[Any]) -> JobRecord:
    """What the script `view` answers: id, fields and values in turn, place in the queue, id of the last event, seconds
    until it is claimed."""
    job_id, flat, position, event, waits = found
    fields = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
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
        estimated_wait_seconds=float(waits),
        attempts=int(fields["attempts"]),
        token=int(fields["token"]),
        fetch_token=int(fields.get("fetched", 0)),
        has_webhook=fields.get("webhook") == "1",
        cancel_requested=fields.get("cancel") == "1",
        last_event_id=event.decode(),
        failure=failure,
        **{
            name: datetime.fromtimestamp(float(fields[name]), UTC)
            for name in ("created_at", "started_at", "finished_at")
            if name in fields
        },
    )

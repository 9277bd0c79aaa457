"""The ledger: the truth about every job, in Redis.

A record is a hash. Each change is one Lua script, so that two workers, a late writer or a crash between two commands
cannot leave a job in two states. Waiting jobs lie in a list for each owner, and the owners in a ring: a claim takes the
first job of the first owner and sends that owner to the back. A claim carries a fencing token; every later write
names it and is refused when a newer claim exists (Kleppmann, "How to do distributed locking", 2016).
"""

import time
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis

from ml.errors import AffectError
from ml.vocabulary import Stage
from workers.wire.contract import FINAL, Claim, Failure, JobRecord, JobStatus
from workers.wire.settings import WireSettings

EXPIRED_MEMORY = 7 * 86400
"""Seconds for which an expired job is told from one that never was."""


Values = list[str | int | float]


class QueueFull(AffectError):
    """As many jobs wait as may."""

    code = "too_many_jobs"
    retryable = True


class ClaimLost(AffectError):
    """The job belongs to a newer claim, was deleted, or is final: stop, and write nothing."""

    code = "worker_lost"


# KEYS: job, waiting list, ring, leases, count of waiting. Times are seconds since 1970.
_CREATE = """
if tonumber(redis.call('GET', KEYS[4]) or '0') >= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'status', 'queued', 'progress', '0', 'attempts', '0', 'token', '0',
  'created_at', ARGV[3])
redis.call('RPUSH', KEYS[2], ARGV[1])
if not redis.call('LPOS', KEYS[3], ARGV[2]) then redis.call('RPUSH', KEYS[3], ARGV[2]) end
redis.call('INCR', KEYS[4])
return 1
"""
_CLAIM = """
for _ = 1, redis.call('LLEN', KEYS[1]) do
  local owner = redis.call('LPOP', KEYS[1])
  local id = redis.call('LPOP', ARGV[1] .. 'waiting:' .. owner)
  if redis.call('LLEN', ARGV[1] .. 'waiting:' .. owner) > 0 then redis.call('RPUSH', KEYS[1], owner) end
  if id then
    redis.call('DECR', KEYS[3])
    local job = ARGV[1] .. 'job:' .. id
    if redis.call('HGET', job, 'status') == 'queued' then
      local token = redis.call('HINCRBY', job, 'token', 1)
      local attempt = redis.call('HINCRBY', job, 'attempts', 1)
      redis.call('HSET', job, 'status', 'running')
      redis.call('HSETNX', job, 'started_at', ARGV[2])
      redis.call('ZADD', KEYS[2], ARGV[3], id)
      return {id, token, attempt}
    end
  end
end
return false
"""
_HOLDS = """
local function holds(job, token)
  return redis.call('HGET', job, 'status') == 'running' and redis.call('HGET', job, 'token') == token
end
"""
_RENEW = (
    _HOLDS
    + """
if not holds(KEYS[1], ARGV[2]) then return -1 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'stage', ARGV[4], 'progress', ARGV[5]) end
return tonumber(redis.call('HGET', KEYS[1], 'cancel') or '0')
"""
)
_FINISH = (
    _HOLDS
    + """
if not holds(KEYS[1], ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'status', ARGV[3], 'finished_at', ARGV[4], 'failure', ARGV[5])
if ARGV[3] == 'succeeded' then redis.call('HSET', KEYS[1], 'progress', '1') end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1])
return 1
"""
)
# Gives the job back to the front of its owner's list, or fails it when its attempts are used up.
_RELEASE = (
    _HOLDS
    + """
if not holds(KEYS[1], ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
local attempts = tonumber(redis.call('HGET', KEYS[1], 'attempts'))
if ARGV[3] == '1' then
  attempts = attempts - 1
  redis.call('HSET', KEYS[1], 'attempts', attempts)
end
if redis.call('HGET', KEYS[1], 'cancel') == '1' then
  redis.call('HSET', KEYS[1], 'status', 'cancelled', 'finished_at', ARGV[5])
  redis.call('ZADD', KEYS[3], ARGV[7], ARGV[1])
  return 3
end
if attempts >= tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'status', 'failed', 'finished_at', ARGV[5], 'failure', ARGV[6])
  redis.call('ZADD', KEYS[3], ARGV[7], ARGV[1])
  return 2
end
redis.call('HSET', KEYS[1], 'status', 'queued', 'progress', '0')
redis.call('HDEL', KEYS[1], 'stage')
local owner = redis.call('HGET', KEYS[1], 'owner')
redis.call('LPUSH', ARGV[8] .. 'waiting:' .. owner, ARGV[1])
if not redis.call('LPOS', KEYS[4], owner) then redis.call('RPUSH', KEYS[4], owner) end
redis.call('INCR', KEYS[5])
return 1
"""
)
_CANCEL = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' then
  redis.call('HSET', KEYS[1], 'status', 'cancelled', 'finished_at', ARGV[2])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
elseif status == 'running' then
  redis.call('HSET', KEYS[1], 'cancel', '1')
end
return status
"""


class Ledger:
    """All reads and writes of job records. Safe to share between threads. `prefix` keeps one Redis for several uses."""

    def __init__(self, redis: Redis, settings: WireSettings, prefix: str = "affect:") -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = prefix
        names = {"create": _CREATE, "claim": _CLAIM, "renew": _RENEW, "finish": _FINISH}
        names |= {"release": _RELEASE, "cancel": _CANCEL}
        self._scripts = {name: redis.register_script(script) for name, script in names.items()}

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def _job(self, job_id: str) -> str:
        return self._key("job", job_id)

    def create(self, job_id: str, owner: str) -> None:
        """Writes a queued job. Raises QueueFull when as many jobs wait as may."""
        keys = [self._job(job_id), self._key("waiting", owner), self._key("ring"), self._key("queued")]
        if not self._scripts["create"](keys, [job_id, owner, time.time(), self._settings.max_queued]):
            raise QueueFull("As many jobs are waiting as are allowed: try again later.")

    def claim(self) -> Claim | None:
        """The next job, round-robin over the owners; null when none waits."""
        now = time.time()
        keys = [self._key("ring"), self._key("leases"), self._key("queued")]
        found = self._scripts["claim"](keys, [self._prefix, now, now + self._settings.lease_seconds])
        if not found:
            return None
        job_id, token, attempt = found
        return Claim(job_id=job_id.decode(), token=token, attempt=attempt)

    def renew(self, claim: Claim, stage: Stage | None = None, progress: float = 0.0) -> bool:
        """Holds the lease, and tells where the work is. True: the caller wants it to stop. Raises ClaimLost."""
        until = time.time() + self._settings.lease_seconds
        keys = [self._job(claim.job_id), self._key("leases")]
        answer = self._scripts["renew"](keys, [claim.job_id, claim.token, until, stage or "", progress])
        if answer < 0:
            raise ClaimLost("The job belongs to another worker now.")
        return bool(answer)

    def finish(self, claim: Claim, status: JobStatus, failure: Failure | None = None) -> None:
        """Writes the one final state. Raises ClaimLost when this claim has none to write."""
        now = time.time()
        keys = [self._job(claim.job_id), self._key("leases"), self._key("expiry")]
        told = failure.model_dump_json() if failure else ""
        values: Values = [claim.job_id, claim.token, status, now, told, now + self._settings.result_ttl]
        if status not in FINAL or not self._scripts["finish"](keys, values):
            raise ClaimLost("The job belongs to another worker now.")

    def hand_back(self, claim: Claim) -> None:
        """Puts the job back in front, as a worker that shuts down does: no attempt is counted."""
        self._release(claim.job_id, claim.token, counts=False)

    def reap(self) -> list[str]:
        """Takes jobs whose lease has lapsed from their workers: each is queued again or fails. Returns their ids."""
        lapsed = cast(list[bytes], self._redis.zrangebyscore(self._key("leases"), 0, time.time()))
        reaped = []
        for raw in lapsed:
            job_id = raw.decode()
            token = cast(bytes | None, self._redis.hget(self._job(job_id), "token"))
            if token is None:
                self._redis.zrem(self._key("leases"), job_id)
            elif self._release(job_id, int(token), counts=True):
                reaped.append(job_id)
        return reaped

    def _release(self, job_id: str, token: int, *, counts: bool) -> bool:
        now = time.time()
        lost = Failure(code="worker_lost", message="The workers that tried this job died.", retryable=True)
        keys = [self._job(job_id), *map(self._key, ("leases", "expiry", "ring", "queued"))]
        values: Values = [
            job_id,
            token,
            "0" if counts else "1",
            self._settings.max_attempts,
            now,
            lost.model_dump_json(),
        ]
        return bool(self._scripts["release"](keys, [*values, now + self._settings.result_ttl, self._prefix]))

    def cancel(self, job_id: str) -> JobStatus | None:
        """Asks for a stop: a queued job ends at once, a running one when its worker next looks. Returns the status that
        the job had; null when there is none."""
        now = time.time()
        keys = [self._job(job_id), self._key("expiry")]
        status = self._scripts["cancel"](keys, [job_id, now, now + self._settings.result_ttl])
        return status.decode() if status else None

    def get(self, job_id: str) -> JobRecord | None:
        """The record; null for an id that is unknown, deleted or expired."""
        fields = cast(dict[bytes, bytes], self._redis.hgetall(self._job(job_id)))
        return _record(job_id, {name.decode(): value.decode() for name, value in fields.items()}) if fields else None

    def expire(self) -> list[str]:
        """Forgets finished jobs whose time is over, and returns their ids; their blobs are the caller's to delete."""
        due = cast(list[bytes], self._redis.zrangebyscore(self._key("expiry"), 0, time.time()))
        for raw in due:
            self.delete(raw.decode())
            self._redis.set(self._key("expired", raw.decode()), 1, ex=EXPIRED_MEMORY)
        return [raw.decode() for raw in due]

    def is_expired(self, job_id: str) -> bool:
        return bool(self._redis.exists(self._key("expired", job_id)))

    def delete(self, job_id: str) -> None:
        """Leaves nothing of the job. A worker that holds it loses its claim."""
        with self._redis.pipeline() as pipe:
            pipe.delete(self._job(job_id))
            pipe.zrem(self._key("leases"), job_id)
            pipe.zrem(self._key("expiry"), job_id)
            pipe.execute()

    def queued(self) -> int:
        """How many jobs wait."""
        return int(cast(bytes | None, self._redis.get(self._key("queued"))) or 0)


def _record(job_id: str, fields: dict[str, Any]) -> JobRecord:
    return JobRecord(
        id=job_id,
        owner=fields["owner"],
        status=fields["status"],
        stage=fields.get("stage"),
        progress=float(fields["progress"]),
        attempts=int(fields["attempts"]),
        cancel_requested=fields.get("cancel") == "1",
        failure=Failure.model_validate_json(fields["failure"]) if fields.get("failure") else None,
        **{
            name: datetime.fromtimestamp(float(fields[name]), UTC)
            for name in ("created_at", "started_at", "finished_at")
            if name in fields
        },
    )

"""The outbox: which callers are still to be told that a job has ended, when, and what came of each attempt.

The job store's script that writes a job's final state puts it in here too (`scripts.finish`), so that exactly the final
states that happened are told; what forgets a job forgets this with it. Redis holds ids, times and status codes: the
address lies in the request's blob. Whoever takes a delivery has it for some seconds; if nothing is heard of it by then,
it is due again. Keys, behind the prefix: `outbox` what is to be sent, by the time when it is due (sorted set);
`delivery:<id>` owner, state and number of attempts (hash); `attempts:<id>` what came of them (list).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from pydantic import Field
from redis import Redis

from ml.results import FrozenModel

DeliveryState = Literal["pending", "delivered", "failed"]
TEST_TTL_SECONDS = 600
"""For which a test is remembered."""

_COMMON = """
local P = ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local id = ARGV[2]
"""

# id, owner
_TEST = (
    _COMMON
    + f"""
redis.call('HSET', P .. 'delivery:' .. id, 'owner', ARGV[3], 'state', 'pending', 'attempts', '0', 'test', '1')
redis.call('EXPIRE', P .. 'delivery:' .. id, {TEST_TTL_SECONDS})
redis.call('ZADD', P .. 'outbox', now, id)
"""
)

# '', seconds
_TAKE = (
    _COMMON
    + """
while true do
  local due = redis.call('ZRANGEBYSCORE', P .. 'outbox', '-inf', now, 'LIMIT', 0, 1)
  id = due[1]
  if not id then return false end
  local owner = redis.call('HGET', P .. 'delivery:' .. id, 'owner')
  if owner then
    redis.call('ZADD', P .. 'outbox', now + tonumber(ARGV[3]), id)
    local attempt = redis.call('HINCRBY', P .. 'delivery:' .. id, 'attempts', 1)
    return {id, owner, attempt, redis.call('HEXISTS', P .. 'delivery:' .. id, 'test')}
  end
  redis.call('ZREM', P .. 'outbox', id)
end
"""
)

# id, number of the attempt, state, seconds until the next, what came of it
_NOTE = (
    _COMMON
    + f"""
local key = P .. 'delivery:' .. id
if redis.call('HGET', key, 'attempts') ~= ARGV[3] or redis.call('HGET', key, 'state') ~= 'pending' then return 0 end
if redis.call('LINDEX', P .. 'attempts:' .. id, -1) == ARGV[6] then return 1 end
redis.call('HSET', key, 'state', ARGV[4])
redis.call('RPUSH', P .. 'attempts:' .. id, ARGV[6])
if redis.call('HEXISTS', key, 'test') == 1 then redis.call('EXPIRE', P .. 'attempts:' .. id, {TEST_TTL_SECONDS}) end
if ARGV[4] == 'pending' then
  redis.call('ZADD', P .. 'outbox', now + tonumber(ARGV[5]), id)
else
  redis.call('ZREM', P .. 'outbox', id)
end
return 1
"""
)

# id
_LOG = (
    _COMMON
    + """
local state = redis.call('HGET', P .. 'delivery:' .. id, 'state')
if not state then return false end
local due = redis.call('ZSCORE', P .. 'outbox', id) or ''
return {state, due, redis.call('LRANGE', P .. 'attempts:' .. id, 0, -1)}
"""
)

_ALL = {"test": _TEST, "take": _TAKE, "note": _NOTE, "log": _LOG}


class Delivery(FrozenModel):
    """The right to make one attempt. `test`: there is no such job."""

    id: str
    owner: str
    attempt: int
    test: bool


class DeliveryAttempt(FrozenModel):
    """What came of one attempt."""

    at: datetime
    seconds: float = Field(ge=0, description="For which it lasted.")
    status: int | None = Field(description="The HTTP status that the receiver answered with; null: none came.")
    error: str | None = Field(description="What went wrong; null where it was delivered.")


class DeliveryLog(FrozenModel):
    """`none`: nobody is to be told, or the job has not ended. `failed`: given up."""

    state: DeliveryState | Literal["none"] = "none"
    next_at: datetime | None = Field(None, description="When it is tried again, at the earliest.")
    attempts: tuple[DeliveryAttempt, ...] = ()


class WebhookQueue:
    """Safe to share between threads."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix
        self._scripts = {name: redis.register_script(script) for name, script in _ALL.items()}

    def _run(self, script: str, job_id: str, *values: str | float) -> Any:
        return self._scripts[script]([], [self._prefix, job_id, *values])

    def due_count(self) -> int:
        """How many are to be sent now."""
        seconds, microseconds = cast(Sequence[int], self._redis.time())
        return self._redis.zcount(f"{self._prefix}outbox", "-inf", seconds + microseconds / 1e6)

    def lease_next(self, seconds: float) -> Delivery | None:
        """The one that has been due for longest, to be sent within so many seconds; null when none is due."""
        found = self._run("take", "", seconds)
        if not found:
            return None
        job_id, owner, attempt, test = found
        return Delivery(id=job_id.decode(), owner=owner.decode(), attempt=attempt, test=bool(test))

    def record_attempt(
        self, delivery: Delivery, attempt: DeliveryAttempt, retry_after: float | None = None
    ) -> DeliveryState:
        """Writes down an attempt; it is delivered, or tried again after some seconds, or given up. Nothing is written
        where the job was deleted meanwhile, or somebody else has taken it."""
        state: DeliveryState = "delivered" if attempt.error is None else "failed" if retry_after is None else "pending"
        self._run("note", delivery.id, delivery.attempt, state, retry_after or 0.0, attempt.model_dump_json())
        return state

    def add_test(self, test_id: str, owner: str) -> None:
        """A delivery of no job, due now."""
        self._run("test", test_id, owner)

    def delivery_log(self, job_id: str) -> DeliveryLog:
        found = self._run("log", job_id)
        if not found:
            return DeliveryLog()
        state, due, attempts = found
        return DeliveryLog(
            state=state.decode(),
            next_at=datetime.fromtimestamp(float(due), UTC) if due else None,
            attempts=tuple(DeliveryAttempt.model_validate_json(each) for each in attempts),
        )

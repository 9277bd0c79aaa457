"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again makes no second job.

A pledge is taken before the body is read, held while it arrives, and kept together with the jobs, in one step, when
they are written (`JobStore.create`): whenever a gateway dies, the key stands for these jobs or, soon, for nothing. Redis
holds digests alone; of a deleted job, not even its id.
"""

import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import Any

from redis import Redis

IDEMPOTENCY_PREFIX = "pledge:"
RESERVATION_TTL_SECONDS = 30.0
"""A request that nobody has spoken for since is taken to have died with its gateway."""

_TAKE = """
local holder, fingerprint, jobs = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint', 'jobs'))
if fingerprint then return {fingerprint, jobs} end
if holder and holder ~= ARGV[1] then return redis.call('PTTL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return -1
"""

# milliseconds to hold on; or 'give up', 'undo'
_HOLD = """
local holder, fingerprint = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fingerprint'))
if holder ~= ARGV[1] then return 0 end
if ARGV[2] == 'undo' then return redis.call('DEL', KEYS[1]) end
if fingerprint then return 0 end
if ARGV[2] == 'give up' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# For `workers.protocol.store.scripts`: in the step that writes the jobs, and in the one that deletes one.
LUA = f"""
-- False where another request holds the key.
local function keep_pledge(digest, holder, fingerprint, seconds, ids)
  if digest == '' then return true end
  local key = P .. '{IDEMPOTENCY_PREFIX}' .. digest
  if redis.call('HGET', key, 'holder') ~= holder then return false end
  redis.call('HSET', key, 'fingerprint', fingerprint, 'jobs', table.concat(ids, ' '))
  redis.call('PEXPIRE', key, math.ceil(tonumber(seconds) * 1000))
  return true
end

local function leave_pledge(digest, id)
  local key, left = P .. '{IDEMPOTENCY_PREFIX}' .. (digest or ''), {{}}
  local jobs = redis.call('HGET', key, 'jobs')
  if not jobs then return end
  for each in string.gmatch(jobs, '%S+') do left[#left + 1] = each == id and 'deleted' or each end
  redis.call('HSET', key, 'jobs', table.concat(left, ' '))
end
"""


@dataclass(frozen=True)
class Reservation:
    """A key that this request alone holds. Kept with the jobs for `seconds`, under the `fingerprint` of the request."""

    key_digest: str
    holder: str
    fingerprint: str = ""
    ttl_seconds: float = 86400.0


@dataclass(frozen=True)
class CompletedRequest:
    """What was made of the key: the fingerprint of that request, and its jobs; null for one that was deleted."""

    fingerprint: str
    job_ids: tuple[str | None, ...]


@dataclass(frozen=True)
class RequestInProgress:
    """Another request holds the key; for so many seconds at most, if its gateway has died."""

    expires_in_seconds: float


class IdempotencyStore:
    """Safe to share between threads."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix + IDEMPOTENCY_PREFIX
        self._take, self._hold = redis.register_script(_TAKE), redis.register_script(_HOLD)

    def reserve(self, owner: str, key: str) -> Reservation | CompletedRequest | RequestInProgress:
        """The key for this request alone, unless it is taken."""
        digest, holder = hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest(), secrets.token_hex(16)
        found: Any = self._take([self._prefix + digest], [holder, _milliseconds(RESERVATION_TTL_SECONDS)])
        if isinstance(found, list):
            ids = (None if each == b"deleted" else each.decode() for each in found[1].split())
            return CompletedRequest(found[0].decode(), tuple(ids))
        return Reservation(digest, holder) if found == -1 else RequestInProgress(max(0.0, found / 1000))

    def renew(self, pledge: Reservation) -> None:
        """The request is still being read; to be said again within `HOLD_SECONDS`."""
        self._hold([self._prefix + pledge.key_digest], [pledge.holder, _milliseconds(RESERVATION_TTL_SECONDS)])

    def release(self, pledge: Reservation) -> None:
        """The request made nothing: the key is free. Where jobs were made meanwhile, it stays theirs."""
        self._hold([self._prefix + pledge.key_digest], [pledge.holder, "give up"])

    def rollback(self, pledge: Reservation) -> None:
        """The jobs were taken back: the key is free."""
        self._hold([self._prefix + pledge.key_digest], [pledge.holder, "undo"])


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)

"""Rate limit per caller, counted in Redis for all gateways together.

It is the generic cell rate algorithm (ITU-T I.371): a full minute's requests may come at once, then they become
available again evenly.
"""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from workers.protocol.store.keys import KEY_PREFIX

WINDOW_SECONDS = 60
"""Length of the window in which requests are counted, in seconds."""

# KEYS: the caller's key. ARGV: window in seconds, requests per window.
# Returns: seconds to wait (0: allowed), remaining requests, seconds until all requests are available again.
_CONSUME = """
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock, step = redis.call('TIME'), window / limit
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local wait = full + step - window - now
if wait > 0 then return {tostring(wait), 0, tostring(full - now)} end
full = full + step
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return {'0', math.floor((window - (full - now)) / step + 0.0001), tostring(full - now)}
"""


@dataclass(frozen=True)
class RateLimitStatus:
    """State of a caller's limit after a request.

    `wait_seconds`: seconds until the next request is allowed; 0 if this one is. `remaining`: requests left now.
    `reset_seconds`: seconds until the full limit is available again.
    """

    wait_seconds: float
    remaining: int
    reset_seconds: float


class RateLimiter:
    """Request counter of all callers. Safe to share between threads. `per_minute` is 0 if requests are unlimited."""

    def __init__(self, redis: Redis, per_minute: int, prefix: str = KEY_PREFIX) -> None:
        self.per_minute = per_minute
        self._prefix = f"{prefix}rate:"
        self._consume = redis.register_script(_CONSUME)

    def consume(self, owner: str) -> RateLimitStatus:
        """Count one request of a caller. Raises RedisError."""
        reply = self._consume([self._prefix + owner], [WINDOW_SECONDS, self.per_minute])
        wait, remaining, reset = cast(tuple[bytes, int, bytes], reply)
        return RateLimitStatus(float(wait), remaining, float(reset))

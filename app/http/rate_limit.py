"""How many requests a caller may send in a minute: one count for all gateways, in Redis.

The generic cell rate algorithm (ITU-T I.371): of a minute's requests all may come at once, then they come back evenly.
The answers tell of it in the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import math
from dataclasses import dataclass
from typing import cast

from redis import Redis
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RateLimited
from workers.protocol.store.job_store import KEY_PREFIX

WINDOW_SECONDS = 60

# seconds of the window, requests in it; answers seconds to wait (0: let in), requests left, seconds until all are back
_SPEND = """
local window, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock, step = redis.call('TIME'), window / most
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
    """What a caller has left. `wait`: seconds until the next request is let in; 0: this one is. `reset`: seconds until
    the whole minute's requests are there again."""

    wait: float
    remaining: int
    reset: float


class RateLimiter:
    """Safe to share between threads. `per_minute` is 0 where nothing is limited."""

    def __init__(self, redis: Redis, per_minute: int, prefix: str = KEY_PREFIX) -> None:
        self.per_minute = per_minute
        self._prefix = f"{prefix}rate:"
        self._spend = redis.register_script(_SPEND)

    def consume(self, owner: str) -> RateLimitStatus:
        """Counts one request. Raises RedisError."""
        found = cast(tuple[bytes, int, bytes], self._spend([self._prefix + owner], [WINDOW_SECONDS, self.per_minute]))
        return RateLimitStatus(float(found[0]), found[1], float(found[2]))


def enforce(connection: HTTPConnection, allowance: RateLimitStatus) -> None:
    """Notes it for the answer. Raises RateLimited."""
    connection.state.allowance = allowance
    if allowance.wait > 0:
        raise RateLimited("You have sent too many requests.", retry_after=math.ceil(allowance.wait))


class RateLimitHeaders:
    """Tells a caller what it has left. ASGI middleware."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._policy = f'"requests";q={per_minute};w={WINDOW_SECONDS}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            allowance: RateLimitStatus | None = scope.get("state", {}).get("allowance")
            if message["type"] == "http.response.start" and allowance is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = self._policy
                headers["RateLimit"] = f'"requests";r={allowance.remaining};t={math.ceil(allowance.reset)}'
            await send(message)

        await self.app(scope, receive, send_with_headers)

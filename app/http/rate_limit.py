"""HTTP side of the rate limit: rejects requests, and reports the limit in response headers.

The headers are those of draft-ietf-httpapi-ratelimit-headers.
"""

import math

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import RateLimited
from app.http.rate_limiter import WINDOW_SECONDS, RateLimitStatus


def enforce(connection: HTTPConnection, status: RateLimitStatus) -> None:
    """Store the status for `RateLimitHeaders`. Raises RateLimited if the caller must wait."""
    connection.state.rate_limit = status
    if status.wait_seconds > 0:
        raise RateLimited("You have sent too many requests.", retry_after=math.ceil(status.wait_seconds))


class RateLimitHeaders:
    """ASGI middleware that adds the `RateLimit` headers to responses."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._policy = f'"requests";q={per_minute};w={WINDOW_SECONDS}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            status: RateLimitStatus | None = scope.get("state", {}).get("rate_limit")
            if message["type"] == "http.response.start" and status is not None:
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = self._policy
                headers["RateLimit"] = f'"requests";r={status.remaining};t={math.ceil(status.reset_seconds)}'
            await send(message)

        await self.app(scope, receive, send_with_headers)

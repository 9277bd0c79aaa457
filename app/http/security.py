"""Authentication, the loopback rule, and security headers.

With API keys a caller is a name, and jobs belong to that name. Without keys the service belongs to the person at this
machine: only loopback may call it, and `Host` and `Origin` must name this machine too. Otherwise any web page could
reach the service through the browser (DNS rebinding, cross-site requests).
"""

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthorized, problem_from, problem_response
from app.keys import ApiKey
from app.loopback import is_loopback

LOCAL_OWNER = "local"
"""Owner of all jobs when no API keys are set."""
LOCAL_ONLY = "Without API keys this service accepts only programs and pages of its own machine."

_BASE_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_CONTENT_SECURITY_POLICIES = {
    "/": f"{_BASE_POLICY}; connect-src 'self' blob:; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:",
    "/docs": f"{_BASE_POLICY}; connect-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:",
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def authenticate(authorization: str | None, keys: Sequence[ApiKey]) -> str:
    """Return the name of the caller that sent this `Authorization` header. Raises Unauthorized.

    Every key is compared in constant time, so that the response time reveals nothing.
    """
    scheme, _, key = (authorization or "").partition(" ")
    digest = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
    names = [known.name for known in keys if hmac.compare_digest(known.digest, digest)]
    if scheme.lower() != "bearer" or not names:
        raise Unauthorized("Send a valid key: `Authorization: Bearer KEY`.")
    return names[0]


class LoopbackOnly:
    """ASGI middleware that rejects requests unless they come from programs or pages of this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_local(scope):
            return await self.app(scope, receive, send)
        await problem_response(Request(scope), problem_from(Unauthorized(LOCAL_ONLY)))(scope, receive, send)


def is_local(scope: Scope) -> bool:
    """Return whether a connection comes from this machine, judged by the client's address, the host name it used, and
    the page that opened it, if any."""
    headers = Headers(scope=scope)
    client = scope.get("client")  # None on a unix socket
    host = headers.get("host", "")
    if client and not is_loopback(client[0]):
        return False
    try:
        hostname = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(hostname) and is_own_origin(headers)


def is_own_origin(headers: Headers) -> bool:
    """Return whether a request comes from a page of this service, or from no page."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:
        return False


class SecurityHeaders:
    """ASGI middleware that adds headers which restrict what a browser may do with a response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                policy = _CONTENT_SECURITY_POLICIES.get(scope["path"], _BASE_POLICY)
                headers.setdefault("Content-Security-Policy", policy)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)

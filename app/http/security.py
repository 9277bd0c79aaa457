"""Who may call, from where, and what a browser may do with the answers.

With API keys a caller is a name, and jobs belong to that name. Without keys the service belongs to the person at this
machine: only loopback may call, and `Host` and `Origin` must say so too, or any web page could reach it through the
browser (DNS rebinding, cross-site requests).
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unauthorized, problem_from, problem_response

LOCAL_OWNER = "local"
"""Whose the jobs are where there are no keys."""

_KEY = re.compile(r"^(?P<name>[A-Za-z0-9._-]{1,64}):(?P<digest>[0-9a-fA-F]{64})$")

_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PAGE_POLICY = (
    f"{_POLICY}; connect-src 'self' blob:; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:"
)
_DOCS_POLICY = f"{_POLICY}; connect-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:"
_POLICIES = {"/": _PAGE_POLICY, "/docs": _DOCS_POLICY}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class ApiKey:
    """A caller's name and the sha256 of the key: the key itself is nowhere kept."""

    name: str
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `name:sha256`, the sha256 in hex. Raises ValueError."""
        match = _KEY.match(text.strip())
        if match is None:
            raise ValueError("an API key is written name:sha256, the sha256 of the key as 64 hexadecimal digits")
        return cls(match["name"], bytes.fromhex(match["digest"]))

    @classmethod
    def of(cls, name: str, key: str) -> Self:
        """Raises ValueError for a name that is none."""
        return cls.parse(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}")

    @property
    def entry(self) -> str:
        """As `parse` reads it."""
        return f"{self.name}:{self.digest.hex()}"


def authenticate(authorization: str | None, keys: Sequence[ApiKey]) -> str:
    """The name of the caller who sent this `Authorization` header. Raises Unauthorized.

    Every key is compared, in constant time, so that the time taken tells nothing.
    """
    scheme, _, sent = (authorization or "").partition(" ")
    digest = hashlib.sha256(sent.strip().encode("utf-8", "surrogateescape")).digest()
    names = [key.name for key in keys if hmac.compare_digest(key.digest, digest)]
    if scheme.lower() != "bearer" or not names:
        raise Unauthorized("Send a valid key: `Authorization: Bearer KEY`.")
    return names[0]


class LoopbackOnly:
    """Refuses whatever does not come from this machine's own programs or pages. ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_local(scope):
            return await self.app(scope, receive, send)
        error = Unauthorized("Without API keys this service answers only to programs and pages of its own machine.")
        await problem_response(Request(scope), problem_from(error))(scope, receive, send)


def is_local(scope: Scope) -> bool:
    """Whether a connection is this machine's own: by the caller's address, the name that it used for us, and the page
    that it came from, if any."""
    headers = Headers(scope=scope)
    client = scope.get("client")  # none on a unix socket
    host = headers.get("host", "")
    origin = headers.get("origin")
    if client and not is_loopback(client[0]):
        return False
    if not is_loopback(_hostname(host)):
        return False
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a host name or address, as written in a header or a setting, is this very machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class SecurityHeaders:
    """Tells browsers to do nothing with an answer that it does not need. ASGI middleware."""

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
                headers.setdefault("Content-Security-Policy", _POLICIES.get(scope["path"], _POLICY))
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)

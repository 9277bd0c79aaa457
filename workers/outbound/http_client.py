"""HTTP to addresses that a caller named, each connection checked (`workers.protocol.net.ssrf`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from workers.protocol.net.ssrf import Egress

AGENT = "affect"
MOST_REDIRECTS = 5


class CheckedTransport(httpx.AsyncBaseTransport):
    """Resolves and checks the host of each request, a redirect's too, and connects to the very address checked.

    The name goes into `Host` and into the TLS handshake, where the certificate is checked against it. No connection is
    kept: one that was made for another name at the same address must not be used again. Raises ForbiddenUrl.
    """

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = self._egress.check_url(str(request.url))
        addresses = await asyncio.to_thread(self._egress.addresses, target)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address, target.host))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, addresses[-1], target.host))

    async def aclose(self) -> None:
        await self._inner.aclose()


def _pinned(request: httpx.Request, address: str, name: str) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )


@asynccontextmanager
async def open_client(
    egress: Egress, timeout: httpx.Timeout, *, redirects: int = 0
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that follows at most so many redirects, and asks the environment for nothing."""
    async with httpx.AsyncClient(
        transport=CheckedTransport(egress),
        timeout=timeout,
        follow_redirects=redirects > 0,
        max_redirects=redirects,
        trust_env=False,
        headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
    ) as client:
        yield client

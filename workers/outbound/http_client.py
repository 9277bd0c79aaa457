"""HTTP client for addresses that a caller supplied: `workers.protocol.net.ssrf` checks every connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from workers.protocol.net.ssrf import EgressPolicy

USER_AGENT = "affect"
MAX_REDIRECTS = 5


class CheckedTransport(httpx.AsyncBaseTransport):
    """Transport that resolves and checks the host of each request, redirects included, and connects to the very address
    checked.

    The name goes into `Host` and into the TLS handshake, where the certificate is checked against it. Connections are
    not kept: one opened for another name at the same address must not be reused. Raises ForbiddenUrl.
    """

    def __init__(self, egress: EgressPolicy) -> None:
        self._egress = egress
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = self._egress.check_url(str(request.url))
        addresses = await asyncio.to_thread(self._egress.checked_addresses, target)
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
    egress: EgressPolicy, timeout: httpx.Timeout, *, redirects: int = 0
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that follows at most `redirects` redirects and ignores proxy settings of the environment."""
    async with httpx.AsyncClient(
        transport=CheckedTransport(egress),
        timeout=timeout,
        follow_redirects=redirects > 0,
        max_redirects=redirects,
        trust_env=False,
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    ) as client:
        yield client

"""Forward proxy on loopback for a program that opens its own connections: it refuses whatever `EgressPolicy` forbids.

The program has no other way out. The proxy resolves and checks each requested name, and connects to the very address
checked.
"""

import asyncio
import base64
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from ml.errors import AffectError
from workers.protocol.net.ssrf import EgressPolicy, ForbiddenUrl

_MAX_HEAD_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_HOP_BY_HOP = (b"proxy-", b"connection:", b"keep-alive:")


class EgressProxy:
    """Proxy for one program. `refused`: error of the last request for a forbidden address."""

    def __init__(self, egress: EgressPolicy, idle_seconds: float, max_bytes: int) -> None:
        self._egress, self._idle, self._bytes_left = egress, idle_seconds, max_bytes
        self._key = secrets.token_urlsafe(16)
        self._port = 0
        self.refused: ForbiddenUrl | None = None

    @property
    def url(self) -> str:
        return f"http://affect:{self._key}@127.0.0.1:{self._port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the proxy in a thread of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES), loop
        ).result()
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_shut_down(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._idle):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._forward(head, reader, writer)
        except AffectError as error:
            if isinstance(error, ForbiddenUrl):
                self.refused = error
            with suppress(OSError):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the program sees its connection close
        finally:
            writer.close()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *headers = head[:-4].split(b"\r\n")
        method, address, version = line.decode("ascii").split(" ")
        credentials = base64.b64encode(f"affect:{self._key}".encode())
        if not any(header.lower().startswith(b"proxy-authorization:") and credentials in header for header in headers):
            raise PermissionError  # the proxy is for one program only
        tunnel = method == "CONNECT"
        far_reader, far_writer = await self._connect(f"https://{address}/" if tunnel else address)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                forwarded = [header for header in headers if not header.lower().startswith(_HOP_BY_HOP)]
                forwarded.append(b"Connection: close\r\n\r\n")
                far_writer.write(b"\r\n".join([_origin_form(method, address, version), *forwarded]))
            upstream = asyncio.ensure_future(self._pump(reader, far_writer, None))
            await self._pump(far_reader, writer, self._idle)
            upstream.cancel()
        finally:
            far_writer.close()

    async def _connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._egress.check_url(url)
        addresses = await asyncio.to_thread(self._egress.checked_addresses, target)
        async with asyncio.timeout(self._idle):
            return await asyncio.open_connection(addresses[0], target.port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, idle: float | None) -> None:
        """Copy until the source ends, is silent for `idle` seconds, or the byte limit of the proxy is reached."""
        while self._bytes_left > 0:
            async with asyncio.timeout(idle):
                chunk = await source.read(_CHUNK_BYTES)
            if not chunk:
                return
            self._bytes_left -= len(chunk)
            sink.write(chunk)
            await sink.drain()


def _origin_form(method: str, address: str, version: str) -> bytes:
    parts = urlsplit(address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{method} {path} {version}".encode()


async def _shut_down(server: asyncio.Server) -> None:
    """Stop listening and cancel open connections."""
    server.close()
    connections = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)

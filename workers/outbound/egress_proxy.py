"""A forward proxy on loopback for a program that reaches out by itself: it lets nothing through that `Egress` forbids.

The program is given no other way: each name that it asks for is resolved and checked here, and the connection is made
to the very address checked.
"""

import asyncio
import base64
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from ml.errors import AffectError
from workers.protocol.net.ssrf import Egress, ForbiddenUrl

_HEAD_BYTES = 1 << 16
_PIECE_BYTES = 1 << 16
_HOP_BY_HOP = (b"proxy-", b"connection:", b"keep-alive:")


class CheckingProxy:
    """Serves until it is left. `refused`: the last address that was asked for and may not be reached, or why."""

    def __init__(self, egress: Egress, idle_seconds: float, most_bytes: int) -> None:
        self._egress, self._idle, self._left = egress, idle_seconds, most_bytes
        self._key = secrets.token_urlsafe(16)
        self._port = 0
        self.refused: ForbiddenUrl | None = None

    @property
    def url(self) -> str:
        return f"http://affect:{self._key}@127.0.0.1:{self._port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """From a thread of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="proxy", daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_BYTES), loop
        ).result()
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result()
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
            pass  # the program sees its connection end
        finally:
            writer.close()

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *headers = head[:-4].split(b"\r\n")
        method, address, version = line.decode("ascii").split(" ")
        given = base64.b64encode(f"affect:{self._key}".encode())
        if not any(header.lower().startswith(b"proxy-authorization:") and given in header for header in headers):
            raise PermissionError  # it is for one program alone
        tunnel = method == "CONNECT"
        far_reader, far_writer = await self._connect(f"https://{address}/" if tunnel else address)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                kept = [header for header in headers if not header.lower().startswith(_HOP_BY_HOP)]
                kept.append(b"Connection: close\r\n\r\n")
                far_writer.write(b"\r\n".join([_origin_form(method, address, version), *kept]))
            asking = asyncio.ensure_future(self._pump(reader, far_writer, None))
            await self._pump(far_reader, writer, self._idle)
            asking.cancel()
        finally:
            far_writer.close()

    async def _connect(self, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self._egress.check_url(url)
        addresses = await asyncio.to_thread(self._egress.addresses, target)
        async with asyncio.timeout(self._idle):
            return await asyncio.open_connection(addresses[0], target.port)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, idle: float | None) -> None:
        """Until the source ends, says nothing for `idle` seconds, or all has gone through that may."""
        while self._left > 0:
            async with asyncio.timeout(idle):
                piece = await source.read(_PIECE_BYTES)
            if not piece:
                return
            self._left -= len(piece)
            sink.write(piece)
            await sink.drain()


def _origin_form(method: str, address: str, version: str) -> bytes:
    parts = urlsplit(address)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return f"{method} {path} {version}".encode()


async def _end(server: asyncio.Server) -> None:
    """Stops listening, and ends what is under way."""
    server.close()
    under_way = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)

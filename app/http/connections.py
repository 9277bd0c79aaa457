"""Connections of the gateway: time-outs, sizes and numbers that uvicorn's protocols leave open.

A client without a key can open connections, so what a connection may cost is bounded before any request is parsed:

- A request's head must arrive within a time and a number of bytes, and few requests may be pipelined.
- If there are too many connections, the one that has waited longest for a request makes room for the new one.
- A WebSocket is read at most at a certain rate of bytes and frames, pings included. What exceeds it waits in the
  client's socket, so other connections are served in the meantime.
- A client that does not read what it asked for is disconnected by the kernel.
"""

import asyncio
import resource
import socket
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.http.token_bucket import TokenBucket

MAX_HEAD_BYTES = 65_536
"""Maximum bytes of the request line and headers of a request. A single read may exceed it."""
MAX_PIPELINED = 16
"""Maximum requests of one connection that wait for the response to an earlier one."""
PARSED_BYTES = 4096
"""Bytes of a WebSocket that are parsed between two checks of its rate. Empty frames have 6 bytes."""
FILES_PER_CONNECTION = 2
"""Open files per connection: its socket, and one to Redis or the storage while it waits."""
RESERVED_FILES = 256
"""Open files that the gateway needs apart from connections."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of the connections of one gateway process."""

    max_connections: int
    head_seconds: float
    unread_seconds: float
    bytes_per_second: float
    frames_per_second: float


class ConnectionTable:
    """Open connections of one process. Those without a request in progress are in order of their last request."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._busy: set[asyncio.BaseTransport] = set()
        self._idle: dict[asyncio.BaseTransport, None] = {}

    def add(self, transport: asyncio.Transport) -> None:
        """Add a new connection, which is idle. If there are too many, abort the one that has been idle longest."""
        if len(self._idle) + len(self._busy) >= self.limits.max_connections:
            oldest = next(iter(self._idle), transport)
            self.remove(oldest)
            oldest.abort()  # type: ignore[attr-defined]
            if oldest is transport:
                return
        self._idle[transport] = None
        peer: socket.socket | None = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            milliseconds = round(self.limits.unread_seconds * 1000)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def mark_busy(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection has a request in progress."""
        if transport in self._idle:
            del self._idle[transport]
            self._busy.add(transport)

    def mark_idle(self, transport: asyncio.BaseTransport) -> None:
        """Note that the connection waits for a request."""
        if transport in self._busy:
            self._busy.discard(transport)
            self._idle[transport] = None

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """Forget a closed connection."""
        self._busy.discard(transport)
        self._idle.pop(transport, None)


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, with limits of the time and size of a request's head and of pipelined requests."""

    def __init__(self, *args: Any, table: ConnectionTable, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._table.add(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._table.remove(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")
        if self._awaits_request():
            self._start_head_timer()
        else:
            self._stop_head_timer()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:  # trailers of a chunked body are dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._head_bytes = False, 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise ConnectionAbortedError("too many pipelined requests")  # ends the parsing of what has arrived
        super().on_headers_complete()
        self._table.mark_busy(self.transport)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._awaits_request():
            self._table.mark_idle(self.transport)

    def handle_websocket_upgrade(self) -> None:
        self._stop_head_timer()
        self._table.mark_busy(self.transport)
        super().handle_websocket_upgrade()

    def _awaits_request(self) -> bool:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return False
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._table.limits.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket protocol, read at a limited rate, and not at all while the client does not read."""

    def __init__(self, *args: Any, table: ConnectionTable, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits, now = table.limits, self.loop.time()
        self._table = table
        self._bytes = TokenBucket(limits.bytes_per_second, limits.bytes_per_second, now)
        self._frames = TokenBucket(limits.frames_per_second, limits.frames_per_second, now)
        self._frame_count = 0
        self._unparsed = bytearray()
        self._pause_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._table.remove(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed += data
        self._parse()

    def handle_events(self) -> None:
        self._frame_count += len(self.conn.events)
        super().handle_events()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._parse()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._parse()

    def _parse(self) -> None:
        """Parse what has arrived as far as the limits permit, and read more only if nothing is left."""
        while self._unparsed and self._may_parse():
            piece = bytes(self._unparsed[:PARSED_BYTES])
            del self._unparsed[:PARSED_BYTES]
            super().data_received(piece)
            now = self.loop.time()
            pause = max(self._bytes.spend(len(piece), now), self._frames.spend(self._frame_count, now))
            self._frame_count = 0
            if pause:
                self._pause_timer = self.loop.call_later(pause, self._end_pause)
        if self.transport.is_closing():
            self._unparsed.clear()
        elif self._unparsed or not self._may_parse():
            self.transport.pause_reading()
        elif not self.read_paused:
            self.transport.resume_reading()

    def _may_parse(self) -> bool:
        return self._pause_timer is None and self.writable.is_set() and not self.transport.is_closing()

    def _end_pause(self) -> None:
        self._pause_timer = None
        self._parse()


def raise_file_limit() -> int:
    """Raise the number of files that this process and its children may open to what the system permits, and return
    it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def max_connections(files: int, wanted: int) -> int:
    """Return the number of connections for which a process with this limit of open files has enough."""
    return max(1, min(wanted, (files - RESERVED_FILES) // FILES_PER_CONNECTION))

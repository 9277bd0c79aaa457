"""A client that costs little: many connections, timed from the last byte that was sent to the last that was read."""

import asyncio
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

POLL_SECONDS = 1.0
UPLOAD_PACE = 2**20
"""Bytes a second of each upload."""
SENT_BYTES = 2**16
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass
class Tally:
    """Seconds of each answer, and what went otherwise than it should, by status or name of the error."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Connection:
    """HTTP/1.1, kept alive."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, pace: float = math.inf) -> tuple[int, float]:
        """Status of the answer and its seconds after the last byte of the request was sent. `pace`: bytes a second that
        are sent. Raises ConnectionError where the answer does not tell its length."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        loop = asyncio.get_running_loop()
        began = loop.time()
        for start in range(0, len(request), SENT_BYTES):
            await asyncio.sleep(began + start / pace - loop.time())
            writer.write(request[start : start + SENT_BYTES])
            await writer.drain()
        sent = loop.time()
        head = await reader.readuntil(b"\r\n\r\n")
        told = LENGTH.search(head)
        if told is None:
            raise ConnectionError("the answer does not tell its length")
        await reader.readexactly(int(told[1]))
        return int(head[9:12]), loop.time() - sent

    async def count(self, request: bytes, expected: int, tally: Tally, pace: float = math.inf) -> None:
        """As `ask`, its outcome in `tally`."""
        try:
            status, seconds = await self.ask(request, pace)
            if status == expected:
                tally.seconds.append(seconds)
            else:
                tally.errors[str(status)] += 1
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.errors[type(error).__name__] += 1
            await self.close()

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def repeat(
    port: int,
    request: Callable[[], bytes],
    expected: int,
    tally: Tally,
    until: float,
    every: float,
    pace: float = math.inf,
) -> None:
    """Sends requests over one connection until that time of the loop, one in so many seconds, the first at a random
    moment of them."""
    loop = asyncio.get_running_loop()
    connection = Connection(port)
    due = loop.time() + random.uniform(0, every)
    while (now := loop.time()) < until:
        if due > now:
            await asyncio.sleep(due - now)
        await connection.count(request(), expected, tally, pace)
        due = max(due + every, loop.time())
    await connection.close()


def send_all(port: int, requests: Sequence[bytes], senders: int) -> Tally:
    """Sends jobs over so many connections at once, as fast as they are accepted."""
    tally, waiting = Tally(), iter(requests)

    async def send() -> None:
        connection = Connection(port)
        for request in waiting:
            await connection.count(request, 202, tally)
        await connection.close()

    async def every() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(send())

    asyncio.run(every())
    return tally


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def upload(name: str, content: bytes) -> bytes:
    """A job's multipart form with one file."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    body = head + content + b"\r\n--x--\r\n"
    fields = f"Host: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(body)}"
    return f"POST /v1/jobs HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Load:
    """So many pollers, each once in `POLL_SECONDS`, and so many who upload file after file at `UPLOAD_PACE`."""

    port: int
    paths: tuple[str, ...]
    pollers: int
    uploads: int
    file: bytes
    seconds: float

    def run(self) -> tuple[Tally, Tally]:
        """Of the polls and of the uploads."""
        return asyncio.run(self._run())

    async def _run(self) -> tuple[Tally, Tally]:
        polled, uploaded = Tally(), Tally()
        until = asyncio.get_running_loop().time() + self.seconds
        posted = upload("load.wav", self.file)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.pollers):
                choose = lambda: get(random.choice(self.paths))  # noqa: E731
                group.create_task(repeat(self.port, choose, 200, polled, until, POLL_SECONDS))
            for _ in range(self.uploads):
                group.create_task(repeat(self.port, lambda: posted, 202, uploaded, until, 1.0, UPLOAD_PACE))
        return polled, uploaded

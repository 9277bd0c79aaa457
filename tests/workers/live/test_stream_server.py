"""Live streams between the gateway's end and a worker's, over a real Redis, read by real detector and join."""

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle
from ml.results import Options
from tests.face_files import nobody, portrait
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from tests.speech_files import say
from workers.live.server import StreamServer
from workers.protocol.live.messages import Ended, Packet, Ready, Update, parse_worker_message
from workers.protocol.live.streams import GatewayStreams, WorkerStreams
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def models(analyzer: Analyzer) -> LoadedBundle:
    return analyzer.models


def jpeg(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG")
    return out.getvalue()


class Caller:
    """A gateway that serves one stream."""

    def __init__(self, line: GatewayStreams, stream: str) -> None:
        self._line, self.stream = line, stream
        self._last, self._frames = "", 0
        self._heard: list[Ready | Update | Ended] = []

    async def show(self, image: np.ndarray, time: float) -> None:
        await self.show_bytes(jpeg(image), time)

    async def show_bytes(self, payload: bytes, time: float = 0.0) -> None:
        self._frames += 1
        await self._line.send(self.stream, Packet("frame", time, payload), self._frames)

    async def say(self, sound: np.ndarray, time: float) -> None:
        await self._line.send(self.stream, Packet("sound", time, sound.astype("<i2").tobytes()), 0)

    async def until(self, holds: Callable[[Ready | Update | Ended], bool]) -> Ready | Update | Ended:
        """The next message of which it is true."""
        async with asyncio.timeout(60):
            while True:
                for number, said in enumerate(self._heard):
                    if holds(said):
                        self._heard = self._heard[number + 1 :]
                        return said
                self._heard = []
                for answer in await self._line.receive(self.stream, self._last, 5):
                    self._last = answer.id
                    self._heard.append(parse_worker_message(answer.message))

    async def update(self, holds: Callable[[Update], bool] = lambda _: True) -> Update:
        said = await self.until(lambda said: isinstance(said, Update) and holds(said))
        assert isinstance(said, Update)
        return said


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[GatewayStreams]:
    line = GatewayStreams(AsyncRedis.from_url(url, socket_timeout=None))  # as the gateway: it waits for answers
    try:
        yield line
    finally:
        await line.close()


async def call(line: GatewayStreams, options: Options | None = None, owner: str = "ann") -> Caller:
    stream = await line.open_stream(owner, options or Options(), 9)
    assert stream is not None
    return Caller(line, stream)


@contextmanager
def worker(url: str, models: LoadedBundle, most: int = 4) -> Iterator[threading.Event]:
    """A worker at work until it has no more streams; the event tells it to stop."""
    stopping = threading.Event()
    server = StreamServer(WorkerStreams(Redis.from_url(url)), lambda: models, stopping, most)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield stopping
    finally:
        stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def run(part: Awaitable[None]) -> None:
    async def main() -> None:
        await part

    asyncio.run(main())


def test_stream_server_reads_face_and_voice_and_leaves_nothing(url: str, models: LoadedBundle) -> None:
    async def main() -> None:
        async with line_to(url) as line:
            ann = await call(line, Options(window_seconds=3, heatmaps=True))
            with worker(url, models):
                ready = await ann.until(lambda said: True)
                assert isinstance(ready, Ready) and ready.bundle == "default" and len(ready.labels) == 7
                assert [warning.code for warning in ready.warnings] == ["option_not_live"]
                await ann.show(portrait(), 0.1)
                seen = await ann.update(lambda update: len(update.faces) == 1)
                assert (seen.width, seen.height, seen.faces[0].track) == (256, 300, 1)
                assert seen.faces[0].box.x == pytest.approx(85, abs=20)
                assert seen.modalities.face is not None and seen.missing == ("audio", "text")
                await ann.say(say("I have told you so many times before"), 0.2)
                heard = await ann.update(lambda update: update.modalities.audio is not None)
                assert heard.modalities.audio is not None and heard.modalities.audio.speech > 0.5
                again = await ann.update()  # though nothing new came
                assert again.time == heard.time and sum(again.probabilities.values()) == pytest.approx(1, abs=1e-6)
                await line.close_stream("ann", ann.stream)
        assert RedisInspector(Redis.from_url(url)).keys("live*") == []

    run(main())


def test_stream_server_reads_the_newest_frame_and_counts_dropped_ones(url: str, models: LoadedBundle) -> None:
    async def main() -> None:
        async with line_to(url) as line:
            ann = await call(line)
            for number in range(9):
                await ann.show(nobody(), number / 10)
            await ann.show(portrait(), 0.9)
            with worker(url, models):
                update = await ann.update()
                assert (update.time, update.dropped, len(update.faces)) == (0.9, 9, 1)
                await line.close_stream("ann", ann.stream)

    run(main())


def test_stream_server_streams_take_turns_and_fail_separately(url: str, models: LoadedBundle) -> None:
    async def main() -> None:
        async with line_to(url) as line:
            greedy, modest, broken = [await call(line, owner=name) for name in ("bob", "cid", "dan")]

            async def flood() -> None:
                for number in range(10_000):
                    await greedy.show(portrait(), number / 100)

            with worker(url, models):
                flooding = asyncio.create_task(flood())
                for number in range(5):
                    await modest.show(portrait(), float(number))
                    update = await modest.update(lambda update, number=number: update.time == number)  # type: ignore[misc]
                    assert update.dropped == 0 and len(update.faces) == 1
                await broken.show_bytes(b"\xff\xd8 no picture")
                end = await broken.until(lambda said: isinstance(said, Ended))
                assert isinstance(end, Ended) and end.failure is not None and end.failure.code == "media_invalid"
                flooding.cancel()
                await asyncio.wait([flooding])
                assert (await greedy.update()).dropped >= 0
                for caller, owner in ((greedy, "bob"), (modest, "cid"), (broken, "dan")):
                    await line.close_stream(owner, caller.stream)

    run(main())


def test_stream_server_shutdown_ends_streams_and_full_server_lets_others_wait(url: str, models: LoadedBundle) -> None:
    async def main() -> None:
        async with line_to(url) as line:
            first, second = [await call(line) for _ in range(2)]
            with worker(url, models, most=1) as stopping:
                assert isinstance(await first.until(lambda _: True), Ready)
                await first.update()
                stopping.set()
                assert await first.until(lambda said: isinstance(said, Ended)) == Ended()
            assert await line.receive(second.stream, "", 0.05) == ()
            with worker(url, models):
                assert isinstance(await second.until(lambda _: True), Ready)
                for caller in (first, second):
                    await line.close_stream("ann", caller.stream)

    run(main())


def test_gateway_stream_limit_per_owner_and_expiry(url: str) -> None:
    async def main() -> None:
        async with line_to(url) as line:
            streams = [await line.open_stream("eve", Options(), 2) for _ in range(3)]
            assert streams[2] is None and None not in streams[:2]
            assert await line.open_stream("fay", Options(), 2) is not None
            await line.renew_stream("eve", str(streams[0]))
            redis = Redis.from_url(url)
            inspector = RedisInspector(redis)
            inspector.expire_stream("eve", str(streams[1]))
            assert await line.open_stream("eve", Options(), 2) is not None
            keys = set(inspector.keys("live*")) - {"live:waiting"}
            assert all(0 < inspector.ttl(key) <= 15 for key in keys)
            redis.flushall()

    run(main())


def test_gateway_stream_content_is_not_left_on_disk() -> None:
    """Redis appends every write to a file; maintenance rewrites the file after a stream, as after a deleted job."""
    shown = b"a picture of somebody"

    async def stream(url: str) -> None:
        async with line_to(url) as line:
            ann = await call(line)
            await ann.show_bytes(shown)
            await line.close_stream("ann", ann.stream)

    def told(url: str) -> bool:
        folder = Path(url.removeprefix("unix://")).parent
        return any(shown in path.read_bytes() for path in folder.rglob("*aof*") if path.is_file())

    with redis_server("--appendonly", "yes", "--appendfsync", "always") as url:
        run(stream(url))
        assert told(url)
        redis = Redis.from_url(url)
        JobStore(redis, SharedSettings(redis_url=url)).compact_append_only_file()
        until = time.monotonic() + 20
        while told(url) and time.monotonic() < until:
            time.sleep(0.05)
        assert not told(url)

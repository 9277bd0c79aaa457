import asyncio
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import redis_server
from workers.protocol.settings import SharedSettings
from workers.protocol.store.events import EventReader, ProgressEvent
from workers.protocol.store.job_store import JobStore, NewJobs


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def job_store(url: str) -> Iterator[JobStore]:
    with Redis.from_url(url) as redis:
        redis.flushall()
        yield JobStore(redis, SharedSettings())


def read(url: str, job_id: str, last: str, seconds: float = 0.01) -> tuple[ProgressEvent, ...]:
    async def run() -> tuple[ProgressEvent, ...]:
        events = EventReader.connect(SharedSettings(redis_url=url))
        try:
            return await events.read_after(job_id, last, seconds)
        finally:
            await events.close()

    return asyncio.run(run())


def test_read_after_returns_events_in_order(job_store: JobStore, url: str) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    job_store.renew(claim, "decode", 0.25)
    seen = read(url, "a", "0")
    assert [(event.status, event.stage, event.progress) for event in seen] == [
        ("queued", None, 0),
        ("running", None, 0),
        ("running", "decode", 0.25),
    ]
    assert read(url, "a", seen[1].id) == seen[2:]
    assert read(url, "a", seen[2].id) == () == read(url, "unknown", "0")


async def waited(url: str, job_store: JobStore, seconds: float, *changes: str) -> float:
    """Seconds that a waiter waited for a change of the queued job, while a thread makes these changes."""
    record = job_store.get("a")
    assert record is not None
    events = EventReader.connect(SharedSettings(redis_url=url))
    began = time.monotonic()

    async def change() -> None:
        for name in changes:
            await asyncio.sleep(0.05)
            await asyncio.to_thread(getattr(job_store, name), *([] if name == "claim" else ["a"]))

    await asyncio.gather(events.wait_for_status_change("a", "queued", record.last_event_id, seconds), change())
    await events.close()
    return time.monotonic() - began


@pytest.mark.parametrize("change", ["claim", "cancel", "delete"])
def test_wait_for_status_change_wakes_at_a_change(job_store: JobStore, url: str, change: str) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    assert asyncio.run(waited(url, job_store, 20, change)) < 2


def test_wait_for_status_change_ends_after_its_seconds(job_store: JobStore, url: str) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    assert 0.1 <= asyncio.run(waited(url, job_store, 0.1)) < 2


def test_wait_for_status_change_sees_earlier_change(job_store: JobStore, url: str) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    record = job_store.get("a")
    assert record is not None
    job_store.claim()

    async def wait() -> None:
        events = EventReader.connect(SharedSettings(redis_url=url))
        async with asyncio.timeout(5):
            await events.wait_for_status_change("a", "queued", record.last_event_id, 60)
        await events.close()

    asyncio.run(wait())


@pytest.mark.slow
def test_read_after_may_block_longer_than_redis_timeout(url: str) -> None:
    began = time.monotonic()
    assert read(url, "quiet", "0", 5.5) == ()
    assert time.monotonic() - began >= 5.5

"""A live stream through the running service: gateway, Redis, and a live worker that is killed."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Service, process
from tests.face_files import portrait
from tests.live_client import LiveClient, jpeg
from tests.redis_inspector import RedisInspector
from tests.speech_files import silence
from workers.protocol.records import Heartbeat
from workers.protocol.store.worker_registry import WorkerRegistry

LIVE_WORKER = ("workers", "--kinds", "live", "--loglevel", "warning")


@pytest.fixture
def live(service: Service) -> Iterator[Service]:
    """The service with a live worker beside the other."""
    with process(*LIVE_WORKER, environment=service.environment):
        live_worker(service)
        yield service


def live_worker(service: Service, other_than: str = "") -> Heartbeat:
    """The worker of live streams, once it is ready."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for beat in WorkerRegistry(service.redis).workers():
            if "live" in beat.kinds and beat.loaded and beat.worker != other_than:
                return beat
        time.sleep(0.1)
    pytest.fail("no live worker is ready")


def nothing_is_left(service: Service) -> bool:
    """Whether all streams are gone from Redis, soon after they were closed."""
    until = time.monotonic() + 10
    while (left := RedisInspector(service.redis).keys("live*")) and time.monotonic() < until:
        time.sleep(0.1)
    return not left


def test_a_stream_outlives_nothing_but_the_next_one_does(live: Service) -> None:
    """The worker dies: the stream ends with a reason; the worker is started anew, and reads the next stream."""
    picture = jpeg(portrait())
    client = LiveClient.open(live.stream_address)
    assert client.ready.wait(30)
    client.play([picture], silence(1.0), 2.5, rate=5)
    assert len(client.updates) >= 2 and client.ended is None
    update = client.updates[-1]
    assert update["emotion"] is None and update["missing"] == ["face", "audio", "text"]  # a bundle without models
    assert (update["width"], update["height"]) == (256, 300)

    dead = live_worker(live).worker
    os.kill(int(dead.rpartition(":")[2]), signal.SIGKILL)
    client.play([picture], silence(1.0), 40, rate=2)
    assert client.over.wait(10) and client.ended is not None
    problem, code = client.ended
    assert code == 1011 and problem is not None and problem["code"] == "worker_lost"

    live_worker(live, other_than=dead)
    again = LiveClient.open(live.stream_address)
    assert again.ready.wait(30)
    again.close()
    assert nothing_is_left(live)

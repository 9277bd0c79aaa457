from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import redis_server
from workers.protocol.records import Heartbeat, ServedModel
from workers.protocol.store.worker_registry import WorkerRegistry

FACE = ServedModel(role="face", name="face", version=3, labels=("happy",), metrics={"x": {"uar": 0.5}}, licence=None)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as url, Redis.from_url(url) as client:
        yield client


def test_worker_is_registered_from_heartbeat_to_deregistration(redis: Redis) -> None:
    worker_registry = WorkerRegistry(redis)
    assert worker_registry.workers() == ()
    one, two = Heartbeat(worker="a:1", bundle="default"), Heartbeat(worker="b:2", bundle="light", models=(FACE,))
    worker_registry.heartbeat(two)
    worker_registry.heartbeat(one)
    assert worker_registry.workers() == (one, two)
    ready = one.model_copy(update={"loaded": True})
    worker_registry.heartbeat(ready)
    worker_registry.deregister("b:2")
    assert worker_registry.workers() == (ready,)


def test_silent_worker_expires(redis: Redis) -> None:
    worker_registry = WorkerRegistry(redis, "lapsing:")
    worker_registry.heartbeat(Heartbeat(worker="a:1", bundle="default"))
    assert 0 < redis.pttl("lapsing:worker:a:1") <= 15_000  # type: ignore[operator]
    redis.delete("lapsing:worker:a:1")
    assert worker_registry.workers() == () and not redis.exists("lapsing:workers")

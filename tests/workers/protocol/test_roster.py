from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import redis_server
from workers.protocol.records import Heartbeat, ServedModel
from workers.protocol.store.worker_registry import Roster

FACE = ServedModel(role="face", name="face", version=3, labels=("happy",), metrics={"x": {"uar": 0.5}}, licence=None)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as url, Redis.from_url(url) as client:
        yield client


def test_a_worker_is_on_the_roster_from_its_beat_until_it_leaves(redis: Redis) -> None:
    roster = Roster(redis)
    assert roster.workers() == ()
    one, two = Heartbeat(worker="a:1", bundle="default"), Heartbeat(worker="b:2", bundle="light", models=(FACE,))
    roster.beat(two)
    roster.beat(one)
    assert roster.workers() == (one, two)
    ready = one.model_copy(update={"loaded": True})
    roster.beat(ready)
    roster.leave("b:2")
    assert roster.workers() == (ready,)


def test_a_worker_that_falls_silent_lapses(redis: Redis) -> None:
    roster = Roster(redis, "lapsing:")
    roster.beat(Heartbeat(worker="a:1", bundle="default"))
    assert 0 < redis.pttl("lapsing:worker:a:1") <= 15_000  # type: ignore[operator]
    redis.delete("lapsing:worker:a:1")
    assert roster.workers() == () and not redis.exists("lapsing:workers")

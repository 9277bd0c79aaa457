from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """An empty Redis for each test."""
    with Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def inspector(redis: Redis) -> RedisInspector:
    return RedisInspector(redis)

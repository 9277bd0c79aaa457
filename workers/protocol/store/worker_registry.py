"""Which workers live: each process writes a heartbeat that lapses when it is not renewed."""

from typing import cast

from redis import Redis

from workers.protocol.records import Heartbeat
from workers.protocol.settings import LEASE_SECONDS
from workers.protocol.store.job_store import KEY_PREFIX

HEARTBEAT_INTERVAL_SECONDS = 3.0


class WorkerRegistry:
    """The heartbeats of all workers. Safe to share between threads."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._key = f"{prefix}workers"
        self._beats = f"{prefix}worker:"

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Write a heartbeat that expires after `LEASE_SECONDS`."""
        with self._redis.pipeline() as pipe:
            pipe.sadd(self._key, heartbeat.worker)
            pipe.set(self._beats + heartbeat.worker, heartbeat.model_dump_json(), px=round(LEASE_SECONDS * 1000))
            pipe.execute()

    def deregister(self, worker: str) -> None:
        with self._redis.pipeline() as pipe:
            pipe.srem(self._key, worker)
            pipe.delete(self._beats + worker)
            pipe.execute()

    def workers(self) -> tuple[Heartbeat, ...]:
        """The workers that live, by name."""
        names = sorted(name.decode() for name in cast(set[bytes], self._redis.smembers(self._key)))
        if not names:
            return ()
        beats = cast(list[bytes | None], self._redis.mget([self._beats + name for name in names]))
        dead = [name for name, beat in zip(names, beats, strict=True) if beat is None]
        if dead:
            self._redis.srem(self._key, *dead)
        return tuple(Heartbeat.model_validate_json(beat) for beat in beats if beat is not None)

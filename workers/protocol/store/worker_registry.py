"""Which workers live: each process writes a heartbeat that lapses when it is not renewed."""

from typing import cast

from redis import Redis

from workers.protocol.records import Heartbeat
from workers.protocol.store.job_store import PREFIX

BEAT_SECONDS = 3.0
LAPSE_SECONDS = 15.0
"""A worker silent for so long is dead: as its lease."""


class Roster:
    """The heartbeats of all workers. Safe to share between threads."""

    def __init__(self, redis: Redis, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._key = f"{prefix}workers"
        self._beats = f"{prefix}worker:"

    def beat(self, heartbeat: Heartbeat) -> None:
        """To be said again before `LAPSE_SECONDS` are over."""
        with self._redis.pipeline() as pipe:
            pipe.sadd(self._key, heartbeat.worker)
            pipe.set(self._beats + heartbeat.worker, heartbeat.model_dump_json(), px=round(LAPSE_SECONDS * 1000))
            pipe.execute()

    def leave(self, worker: str) -> None:
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

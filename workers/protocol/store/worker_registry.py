"""Registry of the live workers: each process stores a heartbeat, which expires unless it is renewed."""

from typing import cast

from redis import Redis

from workers.protocol.records import Heartbeat
from workers.protocol.settings import LEASE_SECONDS
from workers.protocol.store.keys import KEY_PREFIX

HEARTBEAT_INTERVAL_SECONDS = 3.0


class WorkerRegistry:
    """Heartbeats of all workers. Safe to share between threads. Every method raises RedisError."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._names_key = f"{prefix}workers"
        self._heartbeat_prefix = f"{prefix}worker:"

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Register a worker, or renew its registration. Call again within `LEASE_SECONDS`."""
        key = self._heartbeat_prefix + heartbeat.worker
        with self._redis.pipeline() as pipe:
            pipe.sadd(self._names_key, heartbeat.worker)
            pipe.set(key, heartbeat.model_dump_json(), px=round(LEASE_SECONDS * 1000))
            pipe.execute()

    def deregister(self, worker: str) -> None:
        """Remove a worker that shuts down."""
        with self._redis.pipeline() as pipe:
            pipe.srem(self._names_key, worker)
            pipe.delete(self._heartbeat_prefix + worker)
            pipe.execute()

    def workers(self) -> tuple[Heartbeat, ...]:
        """Return the last heartbeat of each live worker, sorted by name."""
        names = sorted(name.decode() for name in cast(set[bytes], self._redis.smembers(self._names_key)))
        if not names:
            return ()
        heartbeats = cast(list[bytes | None], self._redis.mget([self._heartbeat_prefix + name for name in names]))
        dead = [name for name, heartbeat in zip(names, heartbeats, strict=True) if heartbeat is None]
        if dead:
            self._redis.srem(self._names_key, *dead)
        return tuple(Heartbeat.model_validate_json(heartbeat) for heartbeat in heartbeats if heartbeat is not None)

"""Raw state of the job store in Redis, which the code under test does not show."""

from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from workers.protocol.store.keys import IDEMPOTENCY_PREFIX, KEY_PREFIX


@dataclass(frozen=True)
class RedisInspector:
    """Reads the keys of the job store, and moves their times, as waiting would."""

    redis: Redis

    def keys(self, pattern: str = "*") -> list[str]:
        """Return the keys of the job store that match a pattern, without their prefix."""
        return sorted(key.decode().removeprefix(KEY_PREFIX) for key in self.redis.scan_iter(KEY_PREFIX + pattern))

    def exists(self, key: str) -> bool:
        return bool(self.redis.exists(KEY_PREFIX + key))

    def ttl(self, key: str) -> float:
        """Return the seconds until a key expires; negative if it does not."""
        return cast(int, self.redis.pttl(KEY_PREFIX + key)) / 1000

    def expire(self, key: str) -> None:
        """Let a key expire now."""
        self.redis.delete(KEY_PREFIX + key)

    def permanent_keys(self) -> list[str]:
        """Return the keys that never expire."""
        return [key for key in self.keys() if self.ttl(key) < 0]

    def mentions(self, text: str) -> list[str]:
        """Return the keys with this text in their name."""
        return self.keys(f"*{text}*")

    def hash_values(self, pattern: str = "*") -> bytes:
        """Return all values of the hashes that match a pattern, as one text."""
        keys = [key for key in self.redis.scan_iter(KEY_PREFIX + pattern) if self.redis.type(key) == b"hash"]
        hashes = [cast(dict[bytes, bytes], self.redis.hgetall(key)) for key in keys]
        return b" ".join(value for fields in hashes for value in fields.values())

    # Jobs

    def owned_jobs(self, owner: str) -> list[str]:
        """Return the ids of an owner's jobs, oldest first."""
        return [job_id.decode() for job_id in cast(Any, self.redis.zrange(f"{KEY_PREFIX}jobs:{owner}", 0, -1))]

    def age_start(self, job_id: str, seconds: float) -> None:
        """Let a job have started that much earlier."""
        self.redis.hincrbyfloat(f"{KEY_PREFIX}job:{job_id}", "started_at", -seconds)

    def age_work(self, member: str, seconds: float) -> None:
        """Let the work of a running job or part be counted from that much earlier."""
        job_id, _, part = member.partition("#")
        key, field = (f"parts:{job_id}", f"charged_at:{part}") if part else (f"job:{job_id}", "charged_at")
        self.redis.hincrbyfloat(KEY_PREFIX + key, field, -seconds)

    def start_hour(self, owner: str) -> None:
        """Let an owner's compute be that of an hour that is over."""
        for key in self.keys(f"compute:{owner}:*"):
            self.expire(key)

    def expire_leases(self, *members: str) -> None:
        """Let the leases of running jobs or parts expire now."""
        for member in members:
            assert self.redis.zadd(f"{KEY_PREFIX}leases", {member: 0}) == 0, f"{member} has no lease"

    def stored_bytes(self, owner: str) -> int:
        return int(cast(Any, self.redis.get(f"{KEY_PREFIX}bytes:{owner}")) or 0)

    def unfinished_parts(self, job_id: str) -> int | None:
        left = cast(bytes | None, self.redis.hget(f"{KEY_PREFIX}parts:{job_id}", "left"))
        return None if left is None else int(left)

    def traces_of_parts(self) -> set[str]:
        """Return all that Redis still holds of parts: keys, and members of queues and leases."""
        queues = [*self.keys("waiting:*"), "leases"]
        members = [name.decode() for key in queues for name in cast(Any, self.redis.zrange(KEY_PREFIX + key, 0, -1))]
        return {*self.keys("parts:*"), *self.keys("parts_waiting:*"), *(name for name in members if "#" in name)}

    # Events

    def events(self, job_id: str, after: str = "0") -> list[tuple[str, str, float]]:
        """Return status, stage and progress of a job's events after the event with an id."""
        entries = cast(Any, self.redis.xrange(f"{KEY_PREFIX}events:{job_id}", f"({after}"))
        return [
            (fields[b"status"].decode(), fields[b"stage"].decode(), float(fields[b"progress"])) for _, fields in entries
        ]

    def expire_events(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.expire(f"events:{job_id}")

    # Webhooks

    def make_delivery_due(self, job_id: str) -> None:
        """Let the next attempt of a webhook be due now."""
        self.redis.zadd(f"{KEY_PREFIX}outbox", {job_id: 0})

    def delivery_due_at(self, job_id: str) -> float | None:
        """Return when the next attempt is due (seconds since 1970)."""
        return cast(float | None, self.redis.zscore(f"{KEY_PREFIX}outbox", job_id))

    def delivery_count(self) -> int:
        return cast(int, self.redis.zcard(f"{KEY_PREFIX}outbox"))

    # Idempotency keys, live streams, rate limits

    def idempotency_keys(self) -> set[str]:
        return set(self.keys(f"{IDEMPOTENCY_PREFIX}*"))

    def expire_stream(self, owner: str, stream: str) -> None:
        """Let the time of an owner's stream be over."""
        self.redis.zadd(f"{KEY_PREFIX}live-of:{owner}", {stream: 1}, xx=True)

    def age_rate_limit(self, owner: str, seconds: float) -> None:
        """Let that many seconds pass for a rate limit."""
        self.redis.incrbyfloat(f"{KEY_PREFIX}rate:{owner}", -seconds)

    def blocked_clients(self) -> int:
        """Return how many clients wait for an event."""
        return int(cast(Any, self.redis.info("clients"))["blocked_clients"])

"""Redis over days of use: each key ends with what it belongs to, by a time of its own, or is one per caller."""

import time
from datetime import UTC, datetime

import pytest
from redis import Redis

from tests.redis_inspector import RedisInspector
from workers.protocol.records import Claim, Failure, Heartbeat
from workers.protocol.settings import SharedSettings
from workers.protocol.store.idempotency import Reservation
from workers.protocol.store.job_store import EXPIRED_OWNER_TTL_SECONDS, JobStore, NewJobs
from workers.protocol.store.webhook_queue import DeliveryAttempt
from workers.protocol.store.worker_registry import WorkerRegistry

FAILURE = Failure(code="worker_lost", message="-", retryable=True)
LASTING = {"layout", "erased", "seq:ann", "seq:bob"}
"""Keys that stay: one for all, or one for each caller."""


class Day:
    """Everything that happens in a day, with everything that can go wrong. Nothing of it outlives its time."""

    def __init__(self, redis: Redis, number: int) -> None:
        self.redis, self.number = redis, number
        self.store = JobStore(redis, SharedSettings(result_ttl=1e-3))
        self.lapsing = JobStore(redis, SharedSettings(result_ttl=1e-3, lease_seconds=1e-6))

    def submit(self, name: str, owner: str = "ann", **options: object) -> str:
        job_id = f"{name}-{self.number}"
        reservation = self.store.idempotency.reserve(owner, job_id)
        assert isinstance(reservation, Reservation)
        self.store.renew_upload(job_id)
        self.store.create(
            NewJobs([job_id], owner, has_webhook=True, keeps_media=True, media_bytes=[9], small=[True], **options),  # type: ignore[arg-type]
            reservation=reservation,
        )
        return job_id

    def claim(self, store: JobStore | None = None) -> Claim:
        claim = (store or self.store).claim()
        assert claim is not None
        return claim

    def pass_by(self) -> None:
        self.store.check_layout()
        self.submit("succeeds")
        self.store.finish(self.claim(), "succeeded")
        self.submit("is downloaded and fails", "bob", queue="io")
        download = self.store.claim("io")
        assert download is not None
        self.store.hand_off(download)
        self.store.finish(self.claim(), "failed", failure=FAILURE)
        self.store.cancel(self.submit("is cancelled"))
        self.submit("loses its workers")
        for _ in range(3):
            self.claim(self.lapsing)
            self.lapsing.reap_expired_leases()
        deleted = self.submit("is deleted while it runs", "bob")
        self.claim()
        self.store.delete(deleted)
        self.submit("is split")
        self.store.split(self.claim(), 2)
        for _ in range(2):
            joined = self.store.complete_part(self.claim())
        assert joined is not None
        self.store.finish(joined, "succeeded")
        split_and_cancelled = self.submit("is split and cancelled")
        self.store.split(self.claim(), 2)
        self.store.cancel(split_and_cancelled)
        self.deliver_webhooks()
        self.live_and_die()
        time.sleep(0.01)
        self.store.expire()

    def deliver_webhooks(self) -> None:
        queue = self.store.webhook_queue
        queue.add_test(f"test-{self.number}", "ann")
        for retry_after in (1e-3, None, None, None, None, None, None, None):
            time.sleep(0.002)
            if delivery := queue.lease_next(60):
                attempt = DeliveryAttempt(at=datetime.now(UTC), status=500, error="-", seconds=0.1)
                queue.record_attempt(delivery, attempt, retry_after)

    def live_and_die(self) -> None:
        registry = WorkerRegistry(self.redis)
        for name in ("leaves", "dies"):
            registry.heartbeat(Heartbeat(worker=f"{name}-{self.number}", bundle="default", loaded=True))
        registry.deregister(f"leaves-{self.number}")
        self.redis.delete(f"affect:worker:dies-{self.number}")
        registry.workers()


def test_redis_after_days_holds_nothing_of_them(redis: Redis, inspector: RedisInspector) -> None:
    for number in range(3):
        Day(redis, number).pass_by()
        assert set(inspector.permanent_keys()) <= LASTING, f"day {number}"
        keys = inspector.keys()
        assert max(map(inspector.ttl, keys)) <= EXPIRED_OWNER_TTL_SECONDS
        assert redis.dbsize() == len(keys)


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_redis_remembers_expired_jobs_for_a_week(redis: Redis, inspector: RedisInspector, owner: str) -> None:
    day = Day(redis, 0)
    day.submit("succeeds", owner)
    day.store.finish(day.claim(), "succeeded")
    time.sleep(0.01)
    assert day.store.expire() == ["succeeds-0"]
    assert day.store.owner_of_expired("succeeds-0") == owner
    assert 0 < inspector.ttl("expired:succeeds-0") <= EXPIRED_OWNER_TTL_SECONDS

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.redis_server import redis_server
from workers.wire.contract import Failure, new_job_id
from workers.wire.ledger import ClaimLost, Ledger, QueueFull
from workers.wire.settings import WireSettings


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, WireSettings(lease_seconds=60, max_queued=5))


def lapsing(redis: Redis) -> Ledger:
    """A ledger whose leases have lapsed when they are given."""
    return Ledger(redis, WireSettings(lease_seconds=1e-6))


def test_a_job_from_queued_to_succeeded(ledger: Ledger) -> None:
    job_id = new_job_id()
    ledger.create(job_id, "ann")
    assert ledger.get(job_id).status == "queued" and ledger.queued() == 1  # type: ignore[union-attr]
    claim = ledger.claim()
    assert claim is not None and (claim.job_id, claim.attempt) == (job_id, 1) and ledger.queued() == 0
    assert ledger.renew(claim, "decode", 0.4) is False
    running = ledger.get(job_id)
    assert running is not None and (running.status, running.stage, running.progress) == ("running", "decode", 0.4)
    ledger.finish(claim, "succeeded")
    done = ledger.get(job_id)
    assert done is not None and (done.status, done.progress) == ("succeeded", 1)
    assert done.finished_at is not None and done.created_at <= done.started_at <= done.finished_at  # type: ignore[operator]


def test_claims_go_round_the_owners(ledger: Ledger) -> None:
    for job_id, owner in [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob")]:
        ledger.create(job_id, owner)
    order = [claim.job_id for claim in (ledger.claim() for _ in range(4)) if claim]
    assert order == ["a1", "b1", "a2", "a3"]
    assert ledger.claim() is None


def test_a_full_queue_takes_no_more(ledger: Ledger) -> None:
    for number in range(5):
        ledger.create(str(number), "ann")
    with pytest.raises(QueueFull):
        ledger.create("one more", "bob")
    assert ledger.get("one more") is None
    ledger.claim()
    ledger.create("one more", "bob")


def test_a_lapsed_lease_gives_the_job_to_another_and_fences_the_first_off(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create("a", "ann")
    first = ledger.claim()
    assert first is not None and ledger.reap() == ["a"]
    second = ledger.claim()
    assert second is not None and second.attempt == 2 and second.token > first.token
    for late in (lambda: ledger.renew(first), lambda: ledger.finish(first, "succeeded")):
        with pytest.raises(ClaimLost):
            late()
    ledger.finish(second, "succeeded")
    with pytest.raises(ClaimLost):
        ledger.finish(second, "failed", Failure(code="internal_error", message="late"))
    record = ledger.get("a")
    assert record is not None and record.status == "succeeded" and record.failure is None


def test_a_job_that_kills_its_workers_fails_after_three_attempts(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create("poison", "ann")
    for _ in range(3):
        assert ledger.claim() is not None
        assert ledger.reap() == ["poison"]
    record = ledger.get("poison")
    assert record is not None and record.status == "failed"
    assert record.failure is not None and record.failure.code == "worker_lost"
    assert ledger.claim() is None and ledger.reap() == []


def test_a_hand_back_is_no_attempt_and_comes_first(ledger: Ledger) -> None:
    ledger.create("a", "ann")
    ledger.create("b", "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.hand_back(claim)
    again = ledger.claim()
    assert again is not None and (again.job_id, again.attempt) == ("a", 1)


def test_cancel_ends_a_queued_job_and_tells_a_running_one(ledger: Ledger) -> None:
    ledger.create("queued", "ann")
    assert ledger.cancel("queued") == "queued"
    assert ledger.get("queued").status == "cancelled"  # type: ignore[union-attr]
    assert ledger.claim() is None
    ledger.create("running", "ann")
    claim = ledger.claim()
    assert claim is not None and ledger.cancel("running") == "running"
    assert ledger.renew(claim) is True
    ledger.finish(claim, "cancelled")
    assert ledger.cancel("running") == "cancelled" and ledger.cancel("unknown") is None


def test_a_cancelled_job_whose_worker_died_is_cancelled(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create("a", "ann")
    ledger.claim()
    ledger.cancel("a")
    assert ledger.reap() == ["a"]
    assert ledger.get("a").status == "cancelled"  # type: ignore[union-attr]


def test_expired_is_told_from_unknown_and_deleted(redis: Redis) -> None:
    ledger = Ledger(redis, WireSettings(result_ttl=1e-6))
    ledger.create("old", "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.finish(claim, "succeeded")
    assert ledger.expire() == ["old"]
    assert ledger.get("old") is None and ledger.is_expired("old")
    ledger.create("gone", "ann")
    ledger.delete("gone")
    assert ledger.get("gone") is None and not ledger.is_expired("gone")
    assert ledger.claim() is None

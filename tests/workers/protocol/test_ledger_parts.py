"""Jobs in parts, in the ledger alone: each part has its own claim, the last one done gives the job back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_server import redis_server
from workers.protocol.records import Claim, Failure, JobRecord
from workers.protocol.settings import WireSettings
from workers.protocol.store.job_store import LeaseLost, Ledger, QueueFull, Quota


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def redis(url: str) -> Redis:
    client = Redis.from_url(url)
    client.flushall()
    return client


@pytest.fixture
def ledger(redis: Redis, tmp_path: Path) -> Ledger:
    return Ledger(redis, WireSettings(data_dir=tmp_path, lease_seconds=60, max_attempts=2))


def claim(ledger: Ledger) -> Claim:
    found = ledger.claim()
    assert found is not None
    return found


def record(ledger: Ledger, job_id: str) -> JobRecord:
    found = ledger.get(job_id)
    assert found is not None
    return found


def split(ledger: Ledger, count: int, job_id: str = "one", owner: str = "ann") -> Claim:
    ledger.create([job_id], owner)
    first = claim(ledger)
    ledger.split(first, count)
    return first


def lapse(redis: Redis, *members: str) -> None:
    for member in members:
        assert redis.zadd("affect:leases", {member: 0}) == 0


def leftovers(redis: Redis) -> set[str]:
    """What Redis still knows of parts."""
    waiting = [name for key in redis.keys("affect:waiting:*") for name in redis.zrange(key, 0, -1)]
    redis_parts = redis.keys("affect:parts:*") + redis.keys("affect:parts_waiting:*")
    return {name.decode() for name in (*waiting, *redis.zrange("affect:leases", 0, -1)) if b"#" in name} | {
        key.decode() for key in redis_parts
    }


def test_the_last_part_gives_the_job_back_to_be_joined(ledger: Ledger, redis: Redis) -> None:
    first = split(ledger, 3)
    ledger.split(first, 3)  # a client that got no answer
    assert record(ledger, "one").status == "running" and ledger.queued() == 3
    with pytest.raises(LeaseLost):
        ledger.renew(first)
    parts = [claim(ledger) for _ in range(3)]
    assert [part.part for part in parts] == [0, 1, 2] and {part.split for part in parts} == {first.token}
    assert ledger.claim() is None
    assert ledger.part_done(parts[2]) is None and ledger.part_done(parts[0]) is None
    assert ledger.part_done(parts[0]) is None  # again
    joining = ledger.part_done(parts[1])
    assert joining is not None and joining == ledger.part_done(parts[1])
    assert (joining.part, joining.parts, joining.token) == (None, (1, 1, 1), first.token + 2)
    ledger.renew(joining, "fuse", 0.5)
    ledger.finish(joining, "succeeded", stage="write")
    assert record(ledger, "one").status == "succeeded" and leftovers(redis) == set()


def test_parts_take_turns_with_other_owners(ledger: Ledger) -> None:
    split(ledger, 3)
    ledger.create(["two"], "bob")
    ledger.create(["three"], "ann")
    order = [(each.job_id, each.part) for each in (claim(ledger) for _ in range(5))]
    assert order == [("one", 0), ("two", None), ("one", 1), ("one", 2), ("three", None)]


def test_progress_is_that_of_all_parts_and_never_falls(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 2)
    left, right = claim(ledger), claim(ledger)
    seen = [record(ledger, "one").progress]

    def renew(part: Claim, fraction: float) -> None:
        ledger.renew(part, "faces", fraction)
        seen.append(record(ledger, "one").progress)

    renew(left, 0.5)
    renew(right, 0.5)
    lapse(redis, right.member)
    assert ledger.reap() == {"one": "running"}
    right = claim(ledger)
    renew(right, 0.1)
    renew(left, 1.0)
    renew(right, 1.0)
    assert seen == sorted(seen) and seen[2] == pytest.approx(0.515) and seen[-1] == pytest.approx(0.95)


def test_a_part_whose_worker_died_is_claimed_again_and_its_late_worker_refused(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 2)
    dead = claim(ledger)
    lapse(redis, dead.member)
    ledger.reap()
    again, other = claim(ledger), claim(ledger)
    assert (again.part, again.token, again.attempt, other.part) == (0, 2, 2, 1)
    for late in (lambda: ledger.renew(dead), lambda: ledger.part_done(dead), lambda: ledger.finish(dead, "failed")):
        with pytest.raises(LeaseLost):
            late()
    ledger.hand_back(dead)
    assert record(ledger, "one").status == "running"
    assert ledger.part_done(other) is None
    joining = ledger.part_done(again)
    assert joining is not None and joining.parts == (2, 1)


def test_a_part_that_kills_its_workers_fails_the_job(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 2)
    for _ in range(2):
        lapse(redis, claim(ledger).member)
        ledger.reap()
    found = record(ledger, "one")
    assert found.status == "failed" and found.failure is not None and found.failure.code == "worker_lost"
    assert leftovers(redis) == set() and ledger.queued() == 0


def test_a_failure_of_one_part_is_that_of_the_job(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 3)
    bad, other = claim(ledger), claim(ledger)
    failure = Failure(code="media_invalid", message="No.", stage="decode")
    ledger.finish(bad, "failed", failure, "decode")
    ledger.finish(bad, "failed", failure, "decode")  # again
    assert record(ledger, "one").failure == failure and leftovers(redis) == set()
    with pytest.raises(LeaseLost):
        ledger.renew(other)
    assert ledger.claim() is None


def test_a_part_handed_back_counts_no_attempt(ledger: Ledger) -> None:
    split(ledger, 2)
    ledger.hand_back(claim(ledger))
    again = claim(ledger)
    assert (again.part, again.attempt, again.token) == (0, 1, 2)


def test_the_join_is_tried_again_with_the_parts_that_are_done(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 2)
    ledger.part_done(claim(ledger))
    joining = ledger.part_done(claim(ledger))
    assert joining is not None
    lapse(redis, joining.member)
    assert ledger.reap() == {"one": "queued"}
    assert record(ledger, "one").progress > 0
    again = claim(ledger)
    assert (again.part, again.parts, again.split) == (None, joining.parts, joining.split)
    with pytest.raises(LeaseLost):
        ledger.finish(joining, "succeeded")
    ledger.finish(again, "succeeded")


def test_cancel_ends_a_job_in_parts_at_once(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 3)
    part = claim(ledger)
    assert ledger.cancel("one") == "queued"
    assert record(ledger, "one").status == "cancelled" and leftovers(redis) == set()
    with pytest.raises(LeaseLost):
        ledger.renew(part)


def test_a_stop_that_was_asked_for_before_the_split_is_heard(ledger: Ledger) -> None:
    ledger.create(["one"], "ann")
    first = claim(ledger)
    ledger.cancel("one")
    with pytest.raises(Cancelled):
        ledger.split(first, 2)


def test_a_deleted_or_expired_job_leaves_no_parts(ledger: Ledger, redis: Redis) -> None:
    split(ledger, 3)
    part = claim(ledger)
    ledger.delete("one")
    assert leftovers(redis) == set() and ledger.get("one") is None and ledger.queued() == 0
    with pytest.raises(LeaseLost):
        ledger.part_done(part)
    assert not [key for key in redis.keys("*one*") if b"events" not in key]


def test_what_waits_counts_parts(ledger: Ledger) -> None:
    split(ledger, 3)
    load = ledger.load()
    assert load.queues["inference"].depth == 3 and load.running == 0


def test_parts_are_not_jobs_of_an_owner_that_wait(ledger: Ledger) -> None:
    split(ledger, 5)
    alone = Quota(jobs=1)
    ledger.create(["two"], "ann", quota=alone)
    with pytest.raises(QueueFull):
        ledger.create(["three"], "ann", quota=alone)
    claims = [claim(ledger) for _ in range(6)]
    ledger.create(["three"], "ann", quota=alone)
    assert [each.part for each in claims] == [0, 1, 2, 3, 4, None]

"""Jobs in parts, in the job store alone: each part has its own claim, the last one done gives the job back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_server import redis_server
from workers.protocol.records import Claim, Failure, JobRecord
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, LeaseLost, QueueFull, Quota


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
def job_store(redis: Redis, tmp_path: Path) -> JobStore:
    return JobStore(redis, SharedSettings(data_dir=tmp_path, lease_seconds=60, max_attempts=2))


def claim(job_store: JobStore) -> Claim:
    found = job_store.claim()
    assert found is not None
    return found


def record(job_store: JobStore, job_id: str) -> JobRecord:
    found = job_store.get(job_id)
    assert found is not None
    return found


def split(job_store: JobStore, count: int, job_id: str = "one", owner: str = "ann") -> Claim:
    job_store.create([job_id], owner)
    first = claim(job_store)
    job_store.split(first, count)
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


def test_the_last_part_gives_the_job_back_to_be_joined(job_store: JobStore, redis: Redis) -> None:
    first = split(job_store, 3)
    job_store.split(first, 3)  # a client that got no answer
    assert record(job_store, "one").status == "running" and job_store.queue_length() == 3
    with pytest.raises(LeaseLost):
        job_store.renew(first)
    parts = [claim(job_store) for _ in range(3)]
    assert [part.part for part in parts] == [0, 1, 2] and {part.split_token for part in parts} == {first.token}
    assert job_store.claim() is None
    assert job_store.complete_part(parts[2]) is None and job_store.complete_part(parts[0]) is None
    assert job_store.complete_part(parts[0]) is None  # again
    joining = job_store.complete_part(parts[1])
    assert joining is not None and joining == job_store.complete_part(parts[1])
    assert (joining.part, joining.part_tokens, joining.token) == (None, (1, 1, 1), first.token + 2)
    job_store.renew(joining, "fuse", 0.5)
    job_store.finish(joining, "succeeded", stage="write")
    assert record(job_store, "one").status == "succeeded" and leftovers(redis) == set()


def test_parts_take_turns_with_other_owners(job_store: JobStore) -> None:
    split(job_store, 3)
    job_store.create(["two"], "bob")
    job_store.create(["three"], "ann")
    order = [(each.job_id, each.part) for each in (claim(job_store) for _ in range(5))]
    assert order == [("one", 0), ("two", None), ("one", 1), ("one", 2), ("three", None)]


def test_progress_is_that_of_all_parts_and_never_falls(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 2)
    left, right = claim(job_store), claim(job_store)
    seen = [record(job_store, "one").progress]

    def renew(part: Claim, fraction: float) -> None:
        job_store.renew(part, "faces", fraction)
        seen.append(record(job_store, "one").progress)

    renew(left, 0.5)
    renew(right, 0.5)
    lapse(redis, right.member)
    assert job_store.reap_expired_leases() == {"one": "running"}
    right = claim(job_store)
    renew(right, 0.1)
    renew(left, 1.0)
    renew(right, 1.0)
    assert seen == sorted(seen) and seen[2] == pytest.approx(0.515) and seen[-1] == pytest.approx(0.95)


def test_a_part_whose_worker_died_is_claimed_again_and_its_late_worker_refused(
    job_store: JobStore, redis: Redis
) -> None:
    split(job_store, 2)
    dead = claim(job_store)
    lapse(redis, dead.member)
    job_store.reap_expired_leases()
    again, other = claim(job_store), claim(job_store)
    assert (again.part, again.token, again.attempt, other.part) == (0, 2, 2, 1)
    for late in (
        lambda: job_store.renew(dead),
        lambda: job_store.complete_part(dead),
        lambda: job_store.finish(dead, "failed"),
    ):
        with pytest.raises(LeaseLost):
            late()
    job_store.requeue(dead)
    assert record(job_store, "one").status == "running"
    assert job_store.complete_part(other) is None
    joining = job_store.complete_part(again)
    assert joining is not None and joining.part_tokens == (2, 1)


def test_a_part_that_kills_its_workers_fails_the_job(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 2)
    for _ in range(2):
        lapse(redis, claim(job_store).member)
        job_store.reap_expired_leases()
    found = record(job_store, "one")
    assert found.status == "failed" and found.failure is not None and found.failure.code == "worker_lost"
    assert leftovers(redis) == set() and job_store.queue_length() == 0


def test_a_failure_of_one_part_is_that_of_the_job(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 3)
    bad, other = claim(job_store), claim(job_store)
    failure = Failure(code="media_invalid", message="No.", stage="decode")
    job_store.finish(bad, "failed", failure, "decode")
    job_store.finish(bad, "failed", failure, "decode")  # again
    assert record(job_store, "one").failure == failure and leftovers(redis) == set()
    with pytest.raises(LeaseLost):
        job_store.renew(other)
    assert job_store.claim() is None


def test_a_part_handed_back_counts_no_attempt(job_store: JobStore) -> None:
    split(job_store, 2)
    job_store.requeue(claim(job_store))
    again = claim(job_store)
    assert (again.part, again.attempt, again.token) == (0, 1, 2)


def test_the_join_is_tried_again_with_the_parts_that_are_done(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 2)
    job_store.complete_part(claim(job_store))
    joining = job_store.complete_part(claim(job_store))
    assert joining is not None
    lapse(redis, joining.member)
    assert job_store.reap_expired_leases() == {"one": "queued"}
    assert record(job_store, "one").progress > 0
    again = claim(job_store)
    assert (again.part, again.part_tokens, again.split_token) == (None, joining.part_tokens, joining.split_token)
    with pytest.raises(LeaseLost):
        job_store.finish(joining, "succeeded")
    job_store.finish(again, "succeeded")


def test_cancel_ends_a_job_in_parts_at_once(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 3)
    part = claim(job_store)
    assert job_store.cancel("one") == "queued"
    assert record(job_store, "one").status == "cancelled" and leftovers(redis) == set()
    with pytest.raises(LeaseLost):
        job_store.renew(part)


def test_a_stop_that_was_asked_for_before_the_split_is_heard(job_store: JobStore) -> None:
    job_store.create(["one"], "ann")
    first = claim(job_store)
    job_store.cancel("one")
    with pytest.raises(Cancelled):
        job_store.split(first, 2)


def test_a_deleted_or_expired_job_leaves_no_parts(job_store: JobStore, redis: Redis) -> None:
    split(job_store, 3)
    part = claim(job_store)
    job_store.delete("one")
    assert leftovers(redis) == set() and job_store.get("one") is None and job_store.queue_length() == 0
    with pytest.raises(LeaseLost):
        job_store.complete_part(part)
    assert not [key for key in redis.keys("*one*") if b"events" not in key]


def test_what_waits_counts_parts(job_store: JobStore) -> None:
    split(job_store, 3)
    load = job_store.load()
    assert load.queues["inference"].depth == 3 and load.running == 0


def test_parts_are_not_jobs_of_an_owner_that_wait(job_store: JobStore) -> None:
    split(job_store, 5)
    alone = Quota(max_queued_jobs=1)
    job_store.create(["two"], "ann", quota=alone)
    with pytest.raises(QueueFull):
        job_store.create(["three"], "ann", quota=alone)
    claims = [claim(job_store) for _ in range(6)]
    job_store.create(["three"], "ann", quota=alone)
    assert [each.part for each in claims] == [0, 1, 2, 3, 4, None]

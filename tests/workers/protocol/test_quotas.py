"""What an owner may have in the job store at once, who comes first, and how long it takes."""

import itertools

import pytest
from redis import Redis

from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, QueueFull, Quota


@pytest.fixture
def job_store(redis: Redis) -> JobStore:
    return JobStore(redis, SharedSettings())


def stored(redis: Redis, owner: str = "ann") -> int:
    return int(redis.get(f"affect:bytes:{owner}") or 0)  # type: ignore[arg-type]


def test_an_owner_has_so_many_jobs_waiting_and_no_more(job_store: JobStore) -> None:
    quota = Quota(max_queued_jobs=2)
    job_store.create(["a"], "ann", quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        job_store.create(["b", "c"], "ann", quota=quota)
    job_store.create(["b"], "ann", queue="io", quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        job_store.check_capacity("ann", quota)
    job_store.check_capacity("bob", quota)
    job_store.claim()
    job_store.check_capacity("ann", quota)


def test_an_owner_has_so_many_bytes_stored_until_they_go(job_store: JobStore, redis: Redis) -> None:
    quota = Quota(max_stored_bytes=100)
    job_store.create(["a", "b"], "ann", sizes=[60, 30], quota=quota)
    with pytest.raises(QueueFull, match="bytes"):
        job_store.create(["c"], "ann", sizes=[11], quota=quota)
    job_store.create(["c"], "ann", sizes=[10], keeps_media=True, quota=quota)
    job_store.create(["c"], "ann", sizes=[10], keeps_media=True, quota=quota)  # a client that got no answer asks again
    assert stored(redis) == 100
    for status, left in (("succeeded", 40), ("failed", 10), ("succeeded", 10)):
        claim = job_store.claim()
        assert claim is not None
        job_store.finish(claim, status)  # type: ignore[arg-type]
        assert stored(redis) == left  # media that are kept still count
    job_store.delete("a")
    job_store.delete("c")
    job_store.delete("c")
    assert not redis.exists("affect:bytes:ann")


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_what_is_taken_back_counts_no_more(job_store: JobStore, redis: Redis, end: str) -> None:
    job_store.create(["a"], "ann", sizes=[7], keeps_media=True)
    getattr(job_store, end)("a")
    assert stored(redis) == 0


def test_a_thousand_jobs_of_one_do_not_starve_the_one_of_another(job_store: JobStore) -> None:
    job_store.create([f"ann-{number}" for number in range(1000)], "ann")
    for number in range(5):
        job_store.claim()
        job_store.create([f"bob-{number}"], "bob")
        record = job_store.get(f"bob-{number}")
        assert record is not None and record.position is not None and record.position <= 1
        claimed = [claim.job_id for claim in (job_store.claim(), job_store.claim()) if claim]
        assert f"bob-{number}" in claimed


def test_three_owners_take_turns_whatever_each_has(job_store: JobStore) -> None:
    for owner, jobs in (("ann", 30), ("bob", 3), ("eve", 10)):
        job_store.create([f"{owner}-{number}" for number in range(jobs)], owner)
    claims = iter(job_store.claim, None)
    order = [claim.job_id.split("-")[0] for claim in itertools.islice(claims, 9) if claim]
    assert sorted(order[:3]) == sorted(order[3:6]) == sorted(order[6:]) == ["ann", "bob", "eve"]


def test_the_wait_follows_how_long_jobs_take_and_how_many_run(job_store: JobStore, redis: Redis) -> None:
    def waits(job_id: str) -> float:
        record = job_store.get(job_id)
        assert record is not None
        return record.estimated_wait_seconds

    job_store.create([str(number) for number in range(6)], "ann")
    assert waits("3") == job_store.estimate_seconds(1) == 0  # not known
    first = job_store.claim()
    assert first is not None
    redis.hincrbyfloat("affect:job:0", "started_at", -20)  # it took 20 seconds
    job_store.finish(first, "succeeded")
    assert waits("1") == pytest.approx(20, abs=2)
    assert waits("3") == pytest.approx(60, abs=6)
    for _ in range(2):
        job_store.claim()
    assert waits("3") == pytest.approx(10, abs=1)  # the first of those that wait, and two are worked on
    assert waits("2") == 0  # it is worked on
    job_store.cancel("5")
    assert job_store.estimate_seconds(1) == pytest.approx(10, abs=1)  # what nobody worked on tells nothing

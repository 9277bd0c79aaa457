"""What an owner may have in the job store at once, who comes first, and how long it takes."""

import itertools

import pytest
from redis import Redis

from tests.redis_inspector import RedisInspector
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs, QueueFull, Quota


@pytest.fixture
def job_store(redis: Redis) -> JobStore:
    return JobStore(redis, SharedSettings())


def test_create_exceeding_queued_jobs_of_owner_is_rejected(job_store: JobStore) -> None:
    quota = Quota(max_queued_jobs=2)
    job_store.create(NewJobs(["a"], "ann"), quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        job_store.create(NewJobs(["b", "c"], "ann"), quota=quota)
    job_store.create(NewJobs(["b"], "ann", queue="io"), quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        job_store.check_capacity("ann", quota)
    job_store.check_capacity("bob", quota)
    job_store.claim()
    job_store.check_capacity("ann", quota)


def test_create_exceeding_stored_bytes_of_owner_is_rejected_until_media_are_deleted(
    job_store: JobStore, inspector: RedisInspector
) -> None:
    quota = Quota(max_stored_bytes=100)
    job_store.create(NewJobs(["a", "b"], "ann", media_bytes=[60, 30]), quota=quota)
    with pytest.raises(QueueFull, match="bytes"):
        job_store.create(NewJobs(["c"], "ann", media_bytes=[11]), quota=quota)
    job_store.create(NewJobs(["c"], "ann", media_bytes=[10], keeps_media=True), quota=quota)
    job_store.create(
        NewJobs(["c"], "ann", media_bytes=[10], keeps_media=True), quota=quota
    )  # a client that got no answer asks again
    assert inspector.stored_bytes("ann") == 100
    for status, left in (("succeeded", 40), ("failed", 10), ("succeeded", 10)):
        claim = job_store.claim()
        assert claim is not None
        job_store.finish(claim, status)  # type: ignore[arg-type]
        assert inspector.stored_bytes("ann") == left  # media that are kept still count
    job_store.delete("a")
    job_store.delete("c")
    job_store.delete("c")
    assert not inspector.exists("bytes:ann")


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_stored_bytes_of_cancelled_or_deleted_job_are_released(
    job_store: JobStore, inspector: RedisInspector, end: str
) -> None:
    job_store.create(NewJobs(["a"], "ann", media_bytes=[7], keeps_media=True))
    getattr(job_store, end)("a")
    assert inspector.stored_bytes("ann") == 0


def test_claim_thousand_jobs_of_one_owner_do_not_starve_another(job_store: JobStore) -> None:
    job_store.create(NewJobs([f"ann-{number}" for number in range(1000)], "ann"))
    for number in range(5):
        job_store.claim()
        job_store.create(NewJobs([f"bob-{number}"], "bob"))
        record = job_store.get(f"bob-{number}")
        assert record is not None and record.position is not None and record.position <= 1
        claimed = [claim.job_id for claim in (job_store.claim(), job_store.claim()) if claim]
        assert f"bob-{number}" in claimed


def test_claim_three_owners_take_turns(job_store: JobStore) -> None:
    for owner, jobs in (("ann", 30), ("bob", 3), ("eve", 10)):
        job_store.create(NewJobs([f"{owner}-{number}" for number in range(jobs)], owner))
    claims = iter(job_store.claim, None)
    order = [claim.job_id.split("-")[0] for claim in itertools.islice(claims, 9) if claim]
    assert sorted(order[:3]) == sorted(order[3:6]) == sorted(order[6:]) == ["ann", "bob", "eve"]


def test_estimated_wait_follows_pace_and_running_jobs(job_store: JobStore, inspector: RedisInspector) -> None:
    def waits(job_id: str) -> float:
        record = job_store.get(job_id)
        assert record is not None
        return record.estimated_wait_seconds

    job_store.create(NewJobs([str(number) for number in range(6)], "ann"))
    assert waits("3") == job_store.estimate_seconds(1) == 0  # not known
    first = job_store.claim()
    assert first is not None
    inspector.age_start("0", 20)
    job_store.finish(first, "succeeded")
    assert waits("1") == pytest.approx(20, abs=2)
    assert waits("3") == pytest.approx(60, abs=6)
    for _ in range(2):
        job_store.claim()
    assert waits("3") == pytest.approx(10, abs=1)  # the first of those that wait, and two are worked on
    assert waits("2") == 0  # it is worked on
    job_store.cancel("5")
    assert job_store.estimate_seconds(1) == pytest.approx(10, abs=1)  # a job that never ran does not count

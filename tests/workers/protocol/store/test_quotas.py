"""What an owner may have in the job store at once, who comes first, and how long it takes."""

import itertools

import pytest
from redis import Redis

from tests.redis_inspector import RedisInspector
from workers.protocol.records import Claim
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


def run_for(job_store: JobStore, inspector: RedisInspector, claim: Claim | None, seconds: float) -> None:
    """End a job as if it had run for that long."""
    assert claim is not None
    inspector.age_work(claim.member, seconds)
    job_store.finish(claim, "succeeded")


def test_claim_owners_take_turns_by_seconds_of_work(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs([f"ann-{number}" for number in range(5)], "ann"))
    job_store.create(NewJobs([f"bob-{number}" for number in range(40)], "bob"))
    order = []
    while claim := job_store.claim():
        order.append(claim.job_id.split("-")[0])
        run_for(job_store, inspector, claim, 60 if order[-1] == "ann" else 4)
    assert order[:3] == ["ann", "bob", "bob"] and order[:18].count("ann") == 2
    assert order.count("ann") == 5


def test_claim_running_job_counts_as_work(job_store: JobStore, inspector: RedisInspector) -> None:
    """A long job renews its lease while it runs."""
    job_store.create(NewJobs(["a", "b", "c"], "ann"))
    first = job_store.claim()
    assert first is not None
    inspector.age_work("a", 100)
    job_store.renew(first)
    job_store.create(NewJobs([f"bob-{number}" for number in range(3)], "bob"))
    assert [claim.job_id for claim in (job_store.claim() for _ in range(4)) if claim] == [
        "bob-0",
        "bob-1",
        "bob-2",
        "b",
    ]


def test_claim_parts_count_as_work_and_yield_between_them(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs(["film"], "ann"))
    film = job_store.claim()
    assert film is not None
    job_store.split(film, 5)
    part = job_store.claim()
    assert part is not None and part.part == 0
    job_store.create(NewJobs(["one", "two"], "bob"))
    inspector.age_work(part.member, 30)
    job_store.complete_part(part)
    assert [claim.job_id for claim in (job_store.claim() for _ in range(3)) if claim] == ["one", "two", "film"]


def test_claim_idle_time_is_no_credit(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs(["b"], "bob"))
    run_for(job_store, inspector, job_store.claim(), 1)
    for number in range(3):
        job_store.create(NewJobs([f"ann-{number}"], "ann"))
        run_for(job_store, inspector, job_store.claim(), 1000)
    job_store.create(NewJobs([f"ann-{number}" for number in range(3, 6)], "ann"))
    run_for(job_store, inspector, job_store.claim(), 1000)
    job_store.create(NewJobs([f"bob-{number}" for number in range(9)], "bob"))
    order = []
    for _ in range(4):
        claim = job_store.claim()
        assert claim is not None
        order.append(claim.job_id.split("-")[0])
        run_for(job_store, inspector, claim, 1000 if order[-1] == "ann" else 1100)  # no tie that real time decides
    assert order == ["bob", "ann", "bob", "ann"]


def test_claim_max_per_owner_leaves_room_for_others(job_store: JobStore) -> None:
    job_store.create(NewJobs([f"ann-{number}" for number in range(9)], "ann", queue="io"))
    job_store.create(NewJobs(["file"], "ann"))
    first = [job_store.claim_batch("io", 1, max_per_owner=2) for _ in range(3)]
    assert [[claim.job_id for claim in claims] for claims in first] == [["ann-0"], ["ann-1"], []]
    job_store.create(NewJobs(["bob"], "bob", queue="io"))
    assert [claim.job_id for claim in job_store.claim_batch("io", 1, max_per_owner=2)] == ["bob"]
    assert job_store.claim() is not None  # another queue
    job_store.hand_off(first[0][0])
    assert [claim.job_id for claim in job_store.claim_batch("io", 1, max_per_owner=2)] == ["ann-2"]


def test_compute_of_an_hour_is_limited(redis: Redis, inspector: RedisInspector) -> None:
    job_store = JobStore(redis, SharedSettings(compute_per_key=60))
    job_store.create(NewJobs(["a", "b"], "ann"))
    run_for(job_store, inspector, job_store.claim(), 61)
    for refused in (lambda: job_store.create(NewJobs(["c"], "ann")), lambda: job_store.check_capacity("ann")):
        with pytest.raises(QueueFull, match="compute") as caught:
            refused()
        assert caught.value.retry_after is not None and 0 < caught.value.retry_after <= 3600
    assert job_store.claim() is None and job_store.queue_length() == 1  # what waits waits for the next hour
    job_store.create(NewJobs(["d"], "bob"))
    claim = job_store.claim()
    assert claim is not None and claim.job_id == "d"
    inspector.start_hour("ann")
    job_store.check_capacity("ann")
    claim = job_store.claim()
    assert claim is not None and claim.job_id == "b"


def test_work_of_downloads_is_no_compute(redis: Redis, inspector: RedisInspector) -> None:
    job_store = JobStore(redis, SharedSettings(compute_per_key=60))
    job_store.create(NewJobs(["a"], "ann", queue="io"))
    run_for(job_store, inspector, job_store.claim("io"), 100)
    job_store.check_capacity("ann")


def test_job_store_does_not_grow(redis: Redis, inspector: RedisInspector) -> None:
    """Days of jobs, whole and in parts, that end and expire: only keys with an end are left."""
    job_store = JobStore(redis, SharedSettings(result_ttl=1e-6))

    def one_day(day: int) -> None:
        for number in range(20):
            job_id = f"{day}-{number}"
            job_store.create(NewJobs([job_id], f"owner-{number % 3}", queue="io", small=[number % 2 == 0]))
            fetch = job_store.claim("io")
            assert fetch is not None
            job_store.hand_off(fetch)
            claim = job_store.claim()
            assert claim is not None
            if number % 2:
                job_store.split(claim, 3)
                while part := job_store.claim():
                    claim = job_store.complete_part(part) or claim
            job_store.finish(claim, "failed" if number % 5 == 0 else "succeeded")
        while job_store.expire():
            pass

    one_day(1)
    permanent, size = inspector.permanent_keys(), redis.dbsize()
    for day in range(2, 6):
        one_day(day)
    assert inspector.permanent_keys() == permanent and len(permanent) == 3
    assert redis.dbsize() == size + 4 * 20  # `expired:<id>`, for a week

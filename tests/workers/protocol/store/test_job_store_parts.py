"""Jobs in parts, in the job store alone: each part has its own claim, the last one done gives the job back."""

from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_inspector import RedisInspector
from workers.protocol.records import Claim, Failure, JobRecord
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, LeaseLost, NewJobs, QueueFull, Quota


@pytest.fixture
def job_store(redis: Redis, tmp_path: Path) -> JobStore:
    return JobStore(redis, SharedSettings(data_dir=tmp_path, lease_seconds=60, max_attempts=2))


def claim(job_store: JobStore) -> Claim:
    claimed = job_store.claim()
    assert claimed is not None
    return claimed


def record(job_store: JobStore, job_id: str) -> JobRecord:
    stored = job_store.get(job_id)
    assert stored is not None
    return stored


def split(job_store: JobStore, count: int, job_id: str = "one", owner: str = "ann") -> Claim:
    job_store.create(NewJobs([job_id], owner))
    first = claim(job_store)
    job_store.split(first, count)
    return first


def test_complete_part_of_the_last_part_returns_the_job_to_join(job_store: JobStore, inspector: RedisInspector) -> None:
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
    assert record(job_store, "one").status == "succeeded" and inspector.traces_of_parts() == set()


def test_claim_parts_take_turns_with_other_owners(job_store: JobStore) -> None:
    split(job_store, 3)
    job_store.create(NewJobs(["two"], "bob"))
    job_store.create(NewJobs(["three"], "ann"))
    order = [(each.job_id, each.part) for each in (claim(job_store) for _ in range(5))]
    assert order == [("two", None), ("one", 0), ("one", 1), ("one", 2), ("three", None)]


def test_progress_of_split_job_averages_parts_and_never_falls(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 2)
    left, right = claim(job_store), claim(job_store)
    seen = [record(job_store, "one").progress]

    def renew(part: Claim, fraction: float) -> None:
        job_store.renew(part, "faces", fraction)
        seen.append(record(job_store, "one").progress)

    renew(left, 0.5)
    renew(right, 0.5)
    inspector.expire_leases(right.member)
    assert job_store.reap_expired_leases() == {"one": "running"}
    right = claim(job_store)
    renew(right, 0.1)
    renew(left, 1.0)
    renew(right, 1.0)
    assert seen == sorted(seen) and seen[2] == pytest.approx(0.515) and seen[-1] == pytest.approx(0.95)


def test_reap_part_is_claimed_again_and_late_worker_is_fenced(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 2)
    dead = claim(job_store)
    inspector.expire_leases(dead.member)
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


def test_reap_part_without_attempts_left_fails_the_job(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 2)
    for _ in range(2):
        inspector.expire_leases(claim(job_store).member)
        job_store.reap_expired_leases()
    job = record(job_store, "one")
    assert job.status == "failed" and job.failure is not None and job.failure.code == "worker_lost"
    assert inspector.traces_of_parts() == set() and job_store.queue_length() == 0


def test_finish_failed_part_fails_the_job(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 3)
    bad, other = claim(job_store), claim(job_store)
    failure = Failure(code="media_invalid", message="No.", stage="decode")
    job_store.finish(bad, "failed", failure, "decode")
    job_store.finish(bad, "failed", failure, "decode")  # again
    assert record(job_store, "one").failure == failure and inspector.traces_of_parts() == set()
    with pytest.raises(LeaseLost):
        job_store.renew(other)
    assert job_store.claim() is None


def test_requeue_part_counts_no_attempt(job_store: JobStore) -> None:
    split(job_store, 2)
    job_store.requeue(claim(job_store))
    again = claim(job_store)
    assert (again.part, again.attempt, again.token) == (0, 1, 2)


def test_reap_join_is_claimed_again_with_completed_parts(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 2)
    job_store.complete_part(claim(job_store))
    joining = job_store.complete_part(claim(job_store))
    assert joining is not None
    inspector.expire_leases(joining.member)
    assert job_store.reap_expired_leases() == {"one": "queued"}
    assert record(job_store, "one").progress > 0
    again = claim(job_store)
    assert (again.part, again.part_tokens, again.split_token) == (None, joining.part_tokens, joining.split_token)
    with pytest.raises(LeaseLost):
        job_store.finish(joining, "succeeded")
    job_store.finish(again, "succeeded")


def test_cancel_split_job_ends_at_once(job_store: JobStore, inspector: RedisInspector) -> None:
    split(job_store, 3)
    part = claim(job_store)
    assert job_store.cancel("one") == "queued"
    assert record(job_store, "one").status == "cancelled" and inspector.traces_of_parts() == set()
    with pytest.raises(LeaseLost):
        job_store.renew(part)


def test_split_cancelled_job_raises_cancelled(job_store: JobStore) -> None:
    job_store.create(NewJobs(["one"], "ann"))
    first = claim(job_store)
    job_store.cancel("one")
    with pytest.raises(Cancelled):
        job_store.split(first, 2)


def test_delete_split_job_leaves_no_parts(job_store: JobStore, redis: Redis, inspector: RedisInspector) -> None:
    split(job_store, 3)
    part = claim(job_store)
    job_store.delete("one")
    assert inspector.traces_of_parts() == set() and job_store.get("one") is None and job_store.queue_length() == 0
    with pytest.raises(LeaseLost):
        job_store.complete_part(part)
    assert not [key for key in redis.keys("*one*") if b"events" not in key]


def test_load_counts_parts(job_store: JobStore) -> None:
    split(job_store, 3)
    load = job_store.load()
    assert load.queues["inference"].depth == 3 and load.running == 0


def test_quota_does_not_count_parts_as_jobs(job_store: JobStore) -> None:
    split(job_store, 5)
    alone = Quota(max_queued_jobs=1)
    job_store.create(NewJobs(["two"], "ann"), quota=alone)
    with pytest.raises(QueueFull):
        job_store.create(NewJobs(["three"], "ann"), quota=alone)
    claims = [claim(job_store) for _ in range(6)]
    job_store.create(NewJobs(["three"], "ann"), quota=alone)
    assert [each.part for each in claims] == [0, 1, 2, 3, 4, None]

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from workers.protocol.records import Failure, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import (
    JobStore,
    LeaseLost,
    NewJobs,
    QueueFull,
    UnsupportedLayout,
    require_supported_layout,
)


@pytest.fixture
def job_store(redis: Redis) -> JobStore:
    return JobStore(redis, SharedSettings(lease_seconds=60, max_queued=5))


def failed_late(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(LeaseLost):
            call()


def lapsing(redis: Redis) -> JobStore:
    """Return a job store with leases that expire at once."""
    return JobStore(redis, SharedSettings(lease_seconds=1e-6))


def test_job_goes_from_queued_to_succeeded(job_store: JobStore) -> None:
    job_id = new_job_id()
    job_store.create(NewJobs([job_id], "ann"))
    assert job_store.get(job_id).status == "queued" and job_store.queue_length() == 1  # type: ignore[union-attr]
    claim = job_store.claim()
    assert claim is not None and (claim.job_id, claim.attempt) == (job_id, 1) and job_store.queue_length() == 0
    assert job_store.renew(claim, "decode", 0.4) is False
    running = job_store.get(job_id)
    assert running is not None and (running.status, running.stage, running.progress) == ("running", "decode", 0.4)
    job_store.finish(claim, "succeeded")
    done = job_store.get(job_id)
    assert done is not None and (done.status, done.progress) == ("succeeded", 1)
    assert done.finished_at is not None and done.created_at <= done.started_at <= done.finished_at  # type: ignore[operator]


def test_claim_takes_owners_in_turn(job_store: JobStore) -> None:
    for job_id, owner in [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob")]:
        job_store.create(NewJobs([job_id], owner))
    order = [claim.job_id for claim in (job_store.claim() for _ in range(4)) if claim]
    assert order == ["a1", "b1", "a2", "a3"]
    assert job_store.claim() is None


def test_create_full_queue_is_rejected(job_store: JobStore) -> None:
    for number in range(5):
        job_store.create(NewJobs([str(number)], "ann"))
    with pytest.raises(QueueFull):
        job_store.create(NewJobs(["one more"], "bob"))
    assert job_store.get("one more") is None
    job_store.claim()
    job_store.create(NewJobs(["one more"], "bob"))


def test_reap_expired_lease_requeues_job_and_fences_first_worker(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(NewJobs(["a"], "ann"))
    first = job_store.claim()
    assert first is not None and job_store.reap_expired_leases() == {"a": "queued"}
    second = job_store.claim()
    assert second is not None and second.attempt == 2 and second.token > first.token
    for late in (lambda: job_store.renew(first), lambda: job_store.finish(first, "succeeded")):
        with pytest.raises(LeaseLost):
            late()
    job_store.finish(second, "succeeded")
    with pytest.raises(LeaseLost):
        job_store.finish(second, "failed", Failure(code="internal_error", message="late"))
    record = job_store.get("a")
    assert record is not None and record.status == "succeeded" and record.failure is None


def test_reap_job_without_attempts_left_fails(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(NewJobs(["poison"], "ann"))
    for status in ("queued", "queued", "failed"):
        claim = job_store.claim()
        assert claim is not None and job_store.reap_expired_leases() == {"poison": status}
    record = job_store.get("poison")
    assert record is not None and record.status == "failed"
    assert record.failure is not None and record.failure.code == "worker_lost"
    assert job_store.claim() is None and job_store.reap_expired_leases() == {}


def test_requeue_counts_no_attempt_and_keeps_place(job_store: JobStore) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    job_store.create(NewJobs(["b"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    job_store.requeue(claim)
    again = job_store.claim()
    assert again is not None and (again.job_id, again.attempt) == ("a", 1)


def test_cancel_ends_queued_job_and_flags_running_job(job_store: JobStore) -> None:
    job_store.create(NewJobs(["queued"], "ann"))
    assert job_store.cancel("queued") == "queued"
    assert job_store.get("queued").status == "cancelled"  # type: ignore[union-attr]
    assert job_store.claim() is None
    job_store.create(NewJobs(["running"], "ann"))
    claim = job_store.claim()
    assert claim is not None and job_store.cancel("running") == "running"
    assert job_store.renew(claim) is True
    job_store.finish(claim, "cancelled")
    assert job_store.cancel("running") == "cancelled" and job_store.cancel("unknown") is None


def test_reap_cancelled_job_ends_as_cancelled(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(NewJobs(["a"], "ann"))
    job_store.claim()
    job_store.cancel("a")
    assert job_store.reap_expired_leases() == {"a": "cancelled"}
    assert job_store.get("a").status == "cancelled"  # type: ignore[union-attr]


def test_owner_of_expired_distinguishes_expired_from_deleted(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings(result_ttl=1e-6))
    job_store.create(NewJobs(["old"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "succeeded")
    assert job_store.expire() == ["old"]
    assert job_store.get("old") is None and job_store.owner_of_expired("old") == "ann"
    assert job_store.page("ann").records == ()
    job_store.create(NewJobs(["gone"], "ann"))
    job_store.delete("gone")
    assert job_store.get("gone") is None and job_store.owner_of_expired("gone") is None
    assert job_store.claim() is None


def test_create_batch_is_all_or_none(job_store: JobStore) -> None:
    job_store.create(NewJobs(["a", "b", "c"], "ann"))
    with pytest.raises(QueueFull):
        job_store.create(NewJobs(["d", "e", "f"], "ann"))
    assert job_store.queue_length() == 3 and job_store.get("d") is None


def test_claim_skips_cancelled_and_deleted_jobs(job_store: JobStore) -> None:
    job_store.create(NewJobs(["a", "b", "c", "d", "e"], "ann"))
    job_store.cancel("a")
    job_store.delete("b")
    assert job_store.queue_length() == 3
    job_store.create(NewJobs(["f", "g"], "bob"))
    assert [claim.job_id for claim in (job_store.claim() for _ in range(5)) if claim] == ["c", "f", "d", "g", "e"]


def test_claim_owner_without_jobs_has_no_turn(job_store: JobStore) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    job_store.create(NewJobs(["b"], "bob"))
    job_store.delete("a")
    job_store.create(NewJobs(["c"], "ann"))
    assert [claim.job_id for claim in (job_store.claim(), job_store.claim()) if claim] == ["b", "c"]


def test_position_is_the_order_of_claims(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings())
    for owner, count in [("ann", 5), ("bob", 1), ("cy", 3)]:
        job_store.create(NewJobs([f"{owner}{number}" for number in range(count)], owner))
    job_store.claim()  # now it is bob's turn
    job_store.cancel("cy0")
    ids = [record.id for owner in ("ann", "bob", "cy") for record in job_store.page(owner, status="queued").records]
    positions = {job_id: job_store.get(job_id).position for job_id in ids}  # type: ignore[union-attr]
    order = [claim.job_id for claim in iter(job_store.claim, None)]
    assert {job_id: place for place, job_id in enumerate(order)} == positions
    assert job_store.get("ann0").position is None  # type: ignore[union-attr]


def test_page_is_newest_first_with_a_cursor(job_store: JobStore) -> None:
    job_store.create(NewJobs(["1", "2", "3", "4", "5"], "ann"))
    job_store.claim()
    first = job_store.page("ann", limit=2)
    second = job_store.page("ann", limit=2, before=first.next_cursor)
    third = job_store.page("ann", limit=2, before=second.next_cursor)
    assert [[record.id for record in page.records] for page in (first, second, third)] == [
        ["5", "4"],
        ["3", "2"],
        ["1"],
    ]
    assert third.next_cursor is None and job_store.page("ann", limit=5).next_cursor is None
    assert job_store.page("bob").records == ()
    assert [record.id for record in job_store.page("ann", status="running").records] == ["1"]


def test_page_by_tag_matches_whole_tags_of_one_owner_and_redis_holds_none(
    job_store: JobStore, inspector: RedisInspector
) -> None:
    job_store.create(NewJobs(["a"], "ann", ["secret", "blue"]))
    job_store.create(NewJobs(["b"], "ann", ["sec"]))
    job_store.create(NewJobs(["c"], "bob", ["secret"]))
    assert [record.id for record in job_store.page("ann", tag="secret").records] == ["a"]
    assert [record.id for record in job_store.page("ann", tag="sec").records] == ["b"]
    assert b"secret" not in inspector.hash_values("job:*")


def test_events_are_written_for_changes_only(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    for stage, progress in [("probe", 0.0), ("probe", 0.0), ("decode", 0.1), ("decode", 0.25)]:
        job_store.renew(claim, stage, progress)  # type: ignore[arg-type]
    job_store.finish(claim, "succeeded", stage="write")
    seen = [("queued", "", 0), ("running", "", 0), ("running", "probe", 0)]
    seen += [("running", "decode", 0.1), ("running", "decode", 0.25), ("succeeded", "write", 1)]
    assert inspector.events("a") == seen
    job_store.delete("a")
    assert inspector.events("a")[-1][0] == "deleted"


def test_record_has_the_id_of_its_last_event(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    job_store.claim()
    record = job_store.get("a")
    assert record is not None and inspector.events("a", record.last_event_id) == []
    job_store.cancel("a")
    job_store.delete("a")
    assert len(inspector.events("a", record.last_event_id)) == 1


def test_events_of_a_long_job_are_capped(job_store: JobStore, inspector: RedisInspector) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    for step in range(500):
        job_store.renew(claim, "decode", step / 500)
    assert len(inspector.events("a")) < 250


def test_ended_job_leaves_no_permanent_key(redis: Redis, inspector: RedisInspector) -> None:
    job_store = JobStore(redis, SharedSettings(result_ttl=0.001))
    job_store.create(NewJobs(["a", "b"], "ann", ["tag"]))
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "failed", Failure(code="internal_error", message="."))
    while not job_store.expire():
        pass
    job_store.delete("b")
    assert inspector.permanent_keys() == ["erased", "seq:ann"]


def test_failure_has_the_last_stage_of_the_job(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings(lease_seconds=1e-6, max_attempts=1))
    job_store.create(NewJobs(["a"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    job_store.renew(claim, "faces", 0.3)
    job_store.reap_expired_leases()
    record = job_store.get("a")
    assert record is not None and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.stage) == ("worker_lost", "faces", "faces")


def test_finish_twice_is_no_lost_lease(job_store: JobStore) -> None:
    """A client that got no answer asks again."""
    job_store.create(NewJobs(["a"], "ann"))
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "succeeded")
    job_store.finish(claim, "succeeded")
    job_store.create(NewJobs(["a"], "ann"))
    assert job_store.get("a").status == "succeeded"  # type: ignore[union-attr]


def test_check_layout_marks_a_new_redis_and_accepts_it_again(job_store: JobStore, redis: Redis) -> None:
    for _ in range(2):
        job_store.check_layout()
    assert redis.keys("*") == [b"affect:layout"] and redis.get("affect:layout") == b"2"


@pytest.mark.parametrize("layout", [b"1", b"3", b"\xff"])
def test_check_layout_unknown_layout_is_rejected_and_kept(job_store: JobStore, redis: Redis, layout: bytes) -> None:
    redis.set("affect:layout", layout)
    with pytest.raises(UnsupportedLayout, match="only supports layout 2"):
        job_store.check_layout()
    assert redis.get("affect:layout") == layout


def test_require_supported_layout_refuses_an_unknown_layout_and_ignores_an_unreachable_redis(
    url: str, redis: Redis
) -> None:
    require_supported_layout(SharedSettings(redis_url=url))
    redis.set("affect:layout", b"3")
    with pytest.raises(UnsupportedLayout):
        require_supported_layout(SharedSettings(redis_url=url))
    require_supported_layout(SharedSettings(redis_url="unix:///nowhere/redis.sock"))


def test_acquire_periodic_lock_succeeds_once(job_store: JobStore) -> None:
    assert [job_store.acquire_periodic_lock("sweep", 60) for _ in range(3)] == [True, False, False]
    assert job_store.acquire_periodic_lock("other", 60)


def test_each_worker_kind_has_its_own_queue(job_store: JobStore) -> None:
    job_store.create(NewJobs(["file"], "ann"))
    job_store.create(NewJobs(["link", "other link"], "ann", queue="io"))
    assert (
        job_store.queue_length(),
        job_store.queue_length("io"),
        job_store.queue_length("inference"),
        job_store.queue_length("live"),
    ) == (
        3,
        2,
        1,
        0,
    )
    assert [job_store.get(each).position for each in ("file", "link", "other link")] == [0, 0, 1]  # type: ignore[union-attr]
    assert job_store.claim("live") is None
    assert [claim.job_id for claim in (job_store.claim("io"), job_store.claim()) if claim] == ["link", "file"]
    job_store.cancel("other link")
    assert job_store.claim("io") is None and job_store.queue_length() == 0
    with pytest.raises(QueueFull):
        job_store.create(NewJobs([str(number) for number in range(6)], "ann", queue="io"))


def test_hand_off_keeps_place_and_resets_attempts(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(NewJobs(["link"], "ann", queue="io"))
    job_store.create(NewJobs(["later"], "ann"))
    job_store.claim("io")
    assert job_store.reap_expired_leases() == {"link": "queued"} and job_store.claim() is not None
    fetching = job_store.claim("io")
    assert fetching is not None and (fetching.attempt, fetching.fetch_token) == (2, 0)
    job_store.hand_off(fetching)
    job_store.hand_off(fetching)  # a client that got no answer asks again
    record = job_store.get("link")
    assert record is not None and (record.status, record.queue, record.attempts) == ("queued", "inference", 0)
    assert job_store.reap_expired_leases() == {"later": "queued"}
    assert job_store.claim("io") is None
    claim = job_store.claim()
    assert claim is not None
    assert (claim.job_id, claim.attempt, claim.fetch_token) == (
        "link",
        1,
        fetching.token,
    ) and claim.token > fetching.token
    failed_late(
        lambda: job_store.hand_off(fetching),
        lambda: job_store.renew(fetching),
        lambda: job_store.finish(fetching, "failed"),
    )
    job_store.finish(claim, "succeeded")
    assert job_store.get("link").status == "succeeded"  # type: ignore[union-attr]


def test_reap_requeues_in_the_same_queue(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(NewJobs(["link"], "ann", queue="io"))
    for status in ("queued", "queued", "failed"):
        assert (
            job_store.claim() is None
            and job_store.claim("io") is not None
            and job_store.reap_expired_leases() == {"link": status}
        )


def test_hand_off_cancelled_or_deleted_job_is_rejected(job_store: JobStore) -> None:
    job_store.create(NewJobs(["cancelled", "deleted"], "ann", queue="io"))
    cancelled, deleted = job_store.claim("io"), job_store.claim("io")
    assert cancelled is not None and deleted is not None
    job_store.cancel("cancelled")
    with pytest.raises(Cancelled):
        job_store.hand_off(cancelled)
    job_store.finish(cancelled, "cancelled")
    job_store.delete("deleted")
    failed_late(lambda: job_store.hand_off(deleted))
    assert job_store.queue_length() == 0


def test_exists_is_true_for_a_running_upload(job_store: JobStore) -> None:
    assert not job_store.exists("a")
    job_store.renew_upload("a")
    assert job_store.exists("a") and job_store.get("a") is None


def test_compact_after_deletion_rewrites_the_append_only_file() -> None:
    with redis_server("--appendonly", "yes") as url, Redis.from_url(url) as redis:
        job_store = JobStore(redis, SharedSettings())
        folder = Path(url.removeprefix("unix://")).parent / "appendonlydir"

        def content(path: Path) -> bytes:
            try:
                return path.read_bytes()
            except FileNotFoundError:  # Redis has just put another in its place
                return b""

        def is_mentioned() -> bool:
            return any(b"job_gone" in content(path) for path in folder.glob("appendonly.aof.*.aof"))

        job_store.create(NewJobs(["job_gone"], "ann"))
        job_store.delete("job_gone")
        assert is_mentioned()
        job_store.compact_append_only_file()
        inspector = RedisInspector(redis)
        assert inspector.exists("erased")  # its events are still there
        until = time.monotonic() + 10
        while redis.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < until:
            time.sleep(0.02)
        inspector.expire_events("job_gone")
        inspector.expire("erasing")
        job_store.compact_append_only_file()
        until = time.monotonic() + 10
        while is_mentioned() and time.monotonic() < until:
            time.sleep(0.02)
        assert not is_mentioned()
        rewritten = redis.info("persistence")
        job_store.compact_append_only_file()
        assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and rewritten["aof_enabled"] == 1


def test_compact_without_append_only_file_does_nothing(
    job_store: JobStore, redis: Redis, inspector: RedisInspector
) -> None:
    job_store.create(NewJobs(["a"], "ann"))
    job_store.delete("a")
    job_store.compact_append_only_file()
    assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and inspector.exists("erased")


def test_claim_batch_small_jobs_are_claimed_together_in_turn(job_store: JobStore) -> None:
    job_store.create(NewJobs(["a", "b", "c"], "ann", small=[True] * 3))
    job_store.create(NewJobs(["d"], "bob", small=[True]))
    claims = job_store.claim_batch("inference", 3)
    assert [claim.job_id for claim in claims] == ["a", "d", "b"]
    assert all(job_store.renew(claim) is False for claim in claims)
    assert [claim.job_id for claim in job_store.claim_batch("inference", 3)] == ["c"]
    assert job_store.claim_batch("inference", 3) == []


def test_claim_batch_never_mixes_small_and_long_jobs(job_store: JobStore) -> None:
    job_store.create(NewJobs(["small", "long", "last"], "ann", small=[True, False, True]))
    batches = [[claim.job_id for claim in job_store.claim_batch("inference", 8)] for _ in range(4)]
    assert batches == [["small"], ["long"], ["last"], []]


def test_claim_batch_small_only_passes_long_jobs(job_store: JobStore) -> None:
    """Those of all owners, before which long jobs wait too."""
    job_store.create(NewJobs(["first", "long", "last"], "ann", small=[True, False, True]))
    job_store.create(NewJobs(["other long", "other"], "bob", small=[False, True]))
    job_store.cancel("last")
    batches = [[claim.job_id for claim in job_store.claim_batch("inference", 1, small_only=True)] for _ in range(3)]
    assert batches == [["first"], ["other"], []]
    record = job_store.get("long")
    assert record and (record.status, record.attempts) == ("queued", 0)
    assert {claim.job_id for claim in iter(job_store.claim, None)} == {"long", "other long"}

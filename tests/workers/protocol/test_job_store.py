import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_server import redis_server
from workers.protocol.records import Failure, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, LeaseLost, QueueFull


@pytest.fixture
def job_store(redis: Redis) -> JobStore:
    return JobStore(redis, SharedSettings(lease_seconds=60, max_queued=5))


def failed_late(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(LeaseLost):
            call()


def lapsing(redis: Redis) -> JobStore:
    """A job store whose leases have lapsed when they are given."""
    return JobStore(redis, SharedSettings(lease_seconds=1e-6))


def test_a_job_from_queued_to_succeeded(job_store: JobStore) -> None:
    job_id = new_job_id()
    job_store.create([job_id], "ann")
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


def test_claims_go_round_the_owners(job_store: JobStore) -> None:
    for job_id, owner in [("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob")]:
        job_store.create([job_id], owner)
    order = [claim.job_id for claim in (job_store.claim() for _ in range(4)) if claim]
    assert order == ["a1", "b1", "a2", "a3"]
    assert job_store.claim() is None


def test_a_full_queue_takes_no_more(job_store: JobStore) -> None:
    for number in range(5):
        job_store.create([str(number)], "ann")
    with pytest.raises(QueueFull):
        job_store.create(["one more"], "bob")
    assert job_store.get("one more") is None
    job_store.claim()
    job_store.create(["one more"], "bob")


def test_a_lapsed_lease_gives_the_job_to_another_and_fences_the_first_off(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(["a"], "ann")
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


def test_a_job_that_kills_its_workers_fails_after_three_attempts(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(["poison"], "ann")
    for status in ("queued", "queued", "failed"):
        claim = job_store.claim()
        assert claim is not None and job_store.reap_expired_leases() == {"poison": status}
    record = job_store.get("poison")
    assert record is not None and record.status == "failed"
    assert record.failure is not None and record.failure.code == "worker_lost"
    assert job_store.claim() is None and job_store.reap_expired_leases() == {}


def test_a_hand_back_is_no_attempt_and_comes_first(job_store: JobStore) -> None:
    job_store.create(["a"], "ann")
    job_store.create(["b"], "ann")
    claim = job_store.claim()
    assert claim is not None
    job_store.requeue(claim)
    again = job_store.claim()
    assert again is not None and (again.job_id, again.attempt) == ("a", 1)


def test_cancel_ends_a_queued_job_and_tells_a_running_one(job_store: JobStore) -> None:
    job_store.create(["queued"], "ann")
    assert job_store.cancel("queued") == "queued"
    assert job_store.get("queued").status == "cancelled"  # type: ignore[union-attr]
    assert job_store.claim() is None
    job_store.create(["running"], "ann")
    claim = job_store.claim()
    assert claim is not None and job_store.cancel("running") == "running"
    assert job_store.renew(claim) is True
    job_store.finish(claim, "cancelled")
    assert job_store.cancel("running") == "cancelled" and job_store.cancel("unknown") is None


def test_a_cancelled_job_whose_worker_died_is_cancelled(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(["a"], "ann")
    job_store.claim()
    job_store.cancel("a")
    assert job_store.reap_expired_leases() == {"a": "cancelled"}
    assert job_store.get("a").status == "cancelled"  # type: ignore[union-attr]


def test_expired_is_told_from_unknown_and_deleted(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings(result_ttl=1e-6))
    job_store.create(["old"], "ann")
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "succeeded")
    assert job_store.expire() == ["old"]
    assert job_store.get("old") is None and job_store.owner_of_expired("old") == "ann"
    assert job_store.page("ann").records == ()
    job_store.create(["gone"], "ann")
    job_store.delete("gone")
    assert job_store.get("gone") is None and job_store.owner_of_expired("gone") is None
    assert job_store.claim() is None


def test_a_batch_is_created_whole_or_not_at_all(job_store: JobStore) -> None:
    job_store.create(["a", "b", "c"], "ann")
    with pytest.raises(QueueFull):
        job_store.create(["d", "e", "f"], "ann")
    assert job_store.queue_length() == 3 and job_store.get("d") is None


def test_a_cancelled_or_deleted_job_waits_no_more(job_store: JobStore) -> None:
    job_store.create(["a", "b", "c", "d", "e"], "ann")
    job_store.cancel("a")
    job_store.delete("b")
    assert job_store.queue_length() == 3
    job_store.create(["f", "g"], "bob")
    assert [claim.job_id for claim in (job_store.claim() for _ in range(5)) if claim] == ["c", "f", "d", "g", "e"]


def test_an_owner_with_nothing_left_has_no_turn(job_store: JobStore) -> None:
    job_store.create(["a"], "ann")
    job_store.create(["b"], "bob")
    job_store.delete("a")
    job_store.create(["c"], "ann")
    assert [claim.job_id for claim in (job_store.claim(), job_store.claim()) if claim] == ["b", "c"]


def test_the_position_is_the_order_of_the_claims(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings())
    for owner, count in [("ann", 5), ("bob", 1), ("cy", 3)]:
        job_store.create([f"{owner}{number}" for number in range(count)], owner)
    job_store.claim()  # now it is bob's turn
    job_store.cancel("cy0")
    ids = [record.id for owner in ("ann", "bob", "cy") for record in job_store.page(owner, status="queued").records]
    positions = {job_id: job_store.get(job_id).position for job_id in ids}  # type: ignore[union-attr]
    order = [claim.job_id for claim in iter(job_store.claim, None)]
    assert {job_id: place for place, job_id in enumerate(order)} == positions
    assert job_store.get("ann0").position is None  # type: ignore[union-attr]


def test_a_page_holds_the_newest_first_and_tells_where_the_next_begins(job_store: JobStore) -> None:
    job_store.create(["1", "2", "3", "4", "5"], "ann")
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


def test_a_page_by_tag_finds_whole_tags_of_one_owner_and_redis_holds_no_tag(job_store: JobStore, redis: Redis) -> None:
    job_store.create(["a"], "ann", ["secret", "blue"])
    job_store.create(["b"], "ann", ["sec"])
    job_store.create(["c"], "bob", ["secret"])
    assert [record.id for record in job_store.page("ann", tag="secret").records] == ["a"]
    assert [record.id for record in job_store.page("ann", tag="sec").records] == ["b"]
    assert all(b"secret" not in b"".join(redis.hgetall(f"affect:job:{job}").values()) for job in "abc")


def events(redis: Redis, job_id: str) -> list[tuple[str, str, float]]:
    told = [fields for _, fields in redis.xrange(f"affect:events:{job_id}")]
    return [(each[b"status"].decode(), each[b"stage"].decode(), float(each[b"progress"])) for each in told]


def test_each_change_is_an_event_and_what_does_not_change_is_none(job_store: JobStore, redis: Redis) -> None:
    job_store.create(["a"], "ann")
    claim = job_store.claim()
    assert claim is not None
    for stage, progress in [("probe", 0.0), ("probe", 0.0), ("decode", 0.1), ("decode", 0.25)]:
        job_store.renew(claim, stage, progress)  # type: ignore[arg-type]
    job_store.finish(claim, "succeeded", stage="write")
    seen = [("queued", "", 0), ("running", "", 0), ("running", "probe", 0)]
    seen += [("running", "decode", 0.1), ("running", "decode", 0.25), ("succeeded", "write", 1)]
    assert events(redis, "a") == seen
    job_store.delete("a")
    assert events(redis, "a")[-1][0] == "deleted"


def test_a_record_names_the_last_event_that_it_knows_of(job_store: JobStore, redis: Redis) -> None:
    job_store.create(["a"], "ann")
    job_store.claim()
    record = job_store.get("a")
    assert record is not None and redis.xrange("affect:events:a", f"({record.last_event_id}") == []
    job_store.cancel("a")
    job_store.delete("a")
    assert len(redis.xrange("affect:events:a", f"({record.last_event_id}")) == 1  # type: ignore[arg-type]


def test_the_events_of_a_long_job_stay_few(job_store: JobStore, redis: Redis) -> None:
    job_store.create(["a"], "ann")
    claim = job_store.claim()
    assert claim is not None
    for step in range(500):
        job_store.renew(claim, "decode", step / 500)
    assert redis.xlen("affect:events:a") < 250


def test_an_ended_job_leaves_no_key_that_stays(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings(result_ttl=0.001))
    job_store.create(["a", "b"], "ann", ["tag"])
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "failed", Failure(code="internal_error", message="."))
    while not job_store.expire():
        pass
    job_store.delete("b")
    lasting = [key for key in redis.keys("*") if redis.ttl(key) == -1]
    assert sorted(lasting) == [b"affect:erased", b"affect:seq:ann"]


def test_the_stage_of_a_failure_is_where_the_job_was(redis: Redis) -> None:
    job_store = JobStore(redis, SharedSettings(lease_seconds=1e-6, max_attempts=1))
    job_store.create(["a"], "ann")
    claim = job_store.claim()
    assert claim is not None
    job_store.renew(claim, "faces", 0.3)
    job_store.reap_expired_leases()
    record = job_store.get("a")
    assert record is not None and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.stage) == ("worker_lost", "faces", "faces")


def test_a_final_state_that_is_written_twice_is_no_lost_claim(job_store: JobStore) -> None:
    """A client that got no answer asks again."""
    job_store.create(["a"], "ann")
    claim = job_store.claim()
    assert claim is not None
    job_store.finish(claim, "succeeded")
    job_store.finish(claim, "succeeded")
    job_store.create(["a"], "ann")
    assert job_store.get("a").status == "succeeded"  # type: ignore[union-attr]


def test_a_chore_falls_to_one(job_store: JobStore) -> None:
    assert [job_store.acquire_periodic_lock("sweep", 60) for _ in range(3)] == [True, False, False]
    assert job_store.acquire_periodic_lock("other", 60)


def test_each_kind_of_worker_has_a_queue_of_its_own(job_store: JobStore) -> None:
    job_store.create(["file"], "ann")
    job_store.create(["link", "other link"], "ann", queue="io")
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
        job_store.create([str(number) for number in range(6)], "ann", queue="io")


def test_a_fetched_job_goes_on_in_its_place_with_all_its_attempts(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(["link"], "ann", queue="io")
    job_store.create(["later"], "ann")
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


def test_a_job_whose_worker_died_waits_for_the_kind_that_it_waited_for(redis: Redis) -> None:
    job_store = lapsing(redis)
    job_store.create(["link"], "ann", queue="io")
    for status in ("queued", "queued", "failed"):
        assert (
            job_store.claim() is None
            and job_store.claim("io") is not None
            and job_store.reap_expired_leases() == {"link": status}
        )


def test_what_was_cancelled_or_deleted_while_it_was_fetched_is_not_passed_on(job_store: JobStore) -> None:
    job_store.create(["cancelled", "deleted"], "ann", queue="io")
    cancelled, deleted = job_store.claim("io"), job_store.claim("io")
    assert cancelled is not None and deleted is not None
    job_store.cancel("cancelled")
    with pytest.raises(Cancelled):
        job_store.hand_off(cancelled)
    job_store.finish(cancelled, "cancelled")
    job_store.delete("deleted")
    failed_late(lambda: job_store.hand_off(deleted))
    assert job_store.queue_length() == 0


def test_an_upload_under_way_is_known(job_store: JobStore) -> None:
    assert not job_store.exists("a")
    job_store.renew_upload("a")
    assert job_store.exists("a") and job_store.get("a") is None


def test_after_a_deletion_the_append_only_file_forgets() -> None:
    with redis_server("--appendonly", "yes") as url, Redis.from_url(url) as redis:
        job_store = JobStore(redis, SharedSettings())
        folder = Path(url.removeprefix("unix://")).parent / "appendonlydir"

        def content(path: Path) -> bytes:
            try:
                return path.read_bytes()
            except FileNotFoundError:  # Redis has just put another in its place
                return b""

        def told() -> bool:
            return any(b"job_gone" in content(path) for path in folder.glob("appendonly.aof.*.aof"))

        job_store.create(["job_gone"], "ann")
        job_store.delete("job_gone")
        assert told()
        job_store.compact_append_only_file()
        assert redis.exists("affect:erased")  # its events are still there
        until = time.monotonic() + 10
        while redis.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < until:
            time.sleep(0.02)
        redis.delete("affect:events:job_gone", "affect:erasing")  # as their time to live would
        job_store.compact_append_only_file()
        until = time.monotonic() + 10
        while told() and time.monotonic() < until:
            time.sleep(0.02)
        assert not told()
        rewritten = redis.info("persistence")
        job_store.compact_append_only_file()
        assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and rewritten["aof_enabled"] == 1


def test_where_there_is_no_such_file_none_is_made(job_store: JobStore, redis: Redis) -> None:
    job_store.create(["a"], "ann")
    job_store.delete("a")
    job_store.compact_append_only_file()
    assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and redis.exists("affect:erased")


def test_small_jobs_are_claimed_together_each_in_the_turn_of_its_owner(job_store: JobStore) -> None:
    job_store.create(["a", "b", "c"], "ann", small=[True] * 3)
    job_store.create(["d"], "bob", small=[True])
    found = job_store.claim_batch("inference", 3)
    assert [claim.job_id for claim in found] == ["a", "d", "b"]
    assert all(job_store.renew(claim) is False for claim in found)
    assert [claim.job_id for claim in job_store.claim_batch("inference", 3)] == ["c"]
    assert job_store.claim_batch("inference", 3) == []


def test_no_job_waits_for_a_long_one_that_was_claimed_with_it(job_store: JobStore) -> None:
    job_store.create(["small", "long", "last"], "ann", small=[True, False, True])
    found = [[claim.job_id for claim in job_store.claim_batch("inference", 8)] for _ in range(4)]
    assert found == [["small"], ["long"], ["last"], []]


def test_only_small_jobs_are_claimed_where_only_these_are_wanted(job_store: JobStore) -> None:
    job_store.create(["first", "long", "last"], "ann", small=[True, False, True])
    found = [[claim.job_id for claim in job_store.claim_batch("inference", 2, small=True)] for _ in range(2)]
    assert found == [["first"], []]
    record = job_store.get("long")
    assert record and (record.status, record.attempts) == ("queued", 0)
    assert [claim.job_id for claim in job_store.claim_batch("inference", 2)] == ["long"]

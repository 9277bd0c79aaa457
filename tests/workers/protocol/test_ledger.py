import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import Cancelled
from tests.redis_server import redis_server
from workers.protocol.records import Failure, new_job_id
from workers.protocol.settings import WireSettings
from workers.protocol.store.job_store import LeaseLost, Ledger, QueueFull


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, WireSettings(lease_seconds=60, max_queued=5))


def failed_late(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(LeaseLost):
            call()


def lapsing(redis: Redis) -> Ledger:
    """A ledger whose leases have lapsed when they are given."""
    return Ledger(redis, WireSettings(lease_seconds=1e-6))


def test_a_job_from_queued_to_succeeded(ledger: Ledger) -> None:
    job_id = new_job_id()
    ledger.create([job_id], "ann")
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
        ledger.create([job_id], owner)
    order = [claim.job_id for claim in (ledger.claim() for _ in range(4)) if claim]
    assert order == ["a1", "b1", "a2", "a3"]
    assert ledger.claim() is None


def test_a_full_queue_takes_no_more(ledger: Ledger) -> None:
    for number in range(5):
        ledger.create([str(number)], "ann")
    with pytest.raises(QueueFull):
        ledger.create(["one more"], "bob")
    assert ledger.get("one more") is None
    ledger.claim()
    ledger.create(["one more"], "bob")


def test_a_lapsed_lease_gives_the_job_to_another_and_fences_the_first_off(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create(["a"], "ann")
    first = ledger.claim()
    assert first is not None and ledger.reap() == {"a": "queued"}
    second = ledger.claim()
    assert second is not None and second.attempt == 2 and second.token > first.token
    for late in (lambda: ledger.renew(first), lambda: ledger.finish(first, "succeeded")):
        with pytest.raises(LeaseLost):
            late()
    ledger.finish(second, "succeeded")
    with pytest.raises(LeaseLost):
        ledger.finish(second, "failed", Failure(code="internal_error", message="late"))
    record = ledger.get("a")
    assert record is not None and record.status == "succeeded" and record.failure is None


def test_a_job_that_kills_its_workers_fails_after_three_attempts(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create(["poison"], "ann")
    for status in ("queued", "queued", "failed"):
        claim = ledger.claim()
        assert claim is not None and ledger.reap() == {"poison": status}
    record = ledger.get("poison")
    assert record is not None and record.status == "failed"
    assert record.failure is not None and record.failure.code == "worker_lost"
    assert ledger.claim() is None and ledger.reap() == {}


def test_a_hand_back_is_no_attempt_and_comes_first(ledger: Ledger) -> None:
    ledger.create(["a"], "ann")
    ledger.create(["b"], "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.hand_back(claim)
    again = ledger.claim()
    assert again is not None and (again.job_id, again.attempt) == ("a", 1)


def test_cancel_ends_a_queued_job_and_tells_a_running_one(ledger: Ledger) -> None:
    ledger.create(["queued"], "ann")
    assert ledger.cancel("queued") == "queued"
    assert ledger.get("queued").status == "cancelled"  # type: ignore[union-attr]
    assert ledger.claim() is None
    ledger.create(["running"], "ann")
    claim = ledger.claim()
    assert claim is not None and ledger.cancel("running") == "running"
    assert ledger.renew(claim) is True
    ledger.finish(claim, "cancelled")
    assert ledger.cancel("running") == "cancelled" and ledger.cancel("unknown") is None


def test_a_cancelled_job_whose_worker_died_is_cancelled(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create(["a"], "ann")
    ledger.claim()
    ledger.cancel("a")
    assert ledger.reap() == {"a": "cancelled"}
    assert ledger.get("a").status == "cancelled"  # type: ignore[union-attr]


def test_expired_is_told_from_unknown_and_deleted(redis: Redis) -> None:
    ledger = Ledger(redis, WireSettings(result_ttl=1e-6))
    ledger.create(["old"], "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.finish(claim, "succeeded")
    assert ledger.expire() == ["old"]
    assert ledger.get("old") is None and ledger.owner_of_expired("old") == "ann"
    assert ledger.page("ann").records == ()
    ledger.create(["gone"], "ann")
    ledger.delete("gone")
    assert ledger.get("gone") is None and ledger.owner_of_expired("gone") is None
    assert ledger.claim() is None


def test_a_batch_is_created_whole_or_not_at_all(ledger: Ledger) -> None:
    ledger.create(["a", "b", "c"], "ann")
    with pytest.raises(QueueFull):
        ledger.create(["d", "e", "f"], "ann")
    assert ledger.queued() == 3 and ledger.get("d") is None


def test_a_cancelled_or_deleted_job_waits_no_more(ledger: Ledger) -> None:
    ledger.create(["a", "b", "c", "d", "e"], "ann")
    ledger.cancel("a")
    ledger.delete("b")
    assert ledger.queued() == 3
    ledger.create(["f", "g"], "bob")
    assert [claim.job_id for claim in (ledger.claim() for _ in range(5)) if claim] == ["c", "f", "d", "g", "e"]


def test_an_owner_with_nothing_left_has_no_turn(ledger: Ledger) -> None:
    ledger.create(["a"], "ann")
    ledger.create(["b"], "bob")
    ledger.delete("a")
    ledger.create(["c"], "ann")
    assert [claim.job_id for claim in (ledger.claim(), ledger.claim()) if claim] == ["b", "c"]


def test_the_position_is_the_order_of_the_claims(redis: Redis) -> None:
    ledger = Ledger(redis, WireSettings())
    for owner, count in [("ann", 5), ("bob", 1), ("cy", 3)]:
        ledger.create([f"{owner}{number}" for number in range(count)], owner)
    ledger.claim()  # now it is bob's turn
    ledger.cancel("cy0")
    ids = [record.id for owner in ("ann", "bob", "cy") for record in ledger.page(owner, status="queued").records]
    positions = {job_id: ledger.get(job_id).position for job_id in ids}  # type: ignore[union-attr]
    order = [claim.job_id for claim in iter(ledger.claim, None)]
    assert {job_id: place for place, job_id in enumerate(order)} == positions
    assert ledger.get("ann0").position is None  # type: ignore[union-attr]


def test_a_page_holds_the_newest_first_and_tells_where_the_next_begins(ledger: Ledger) -> None:
    ledger.create(["1", "2", "3", "4", "5"], "ann")
    ledger.claim()
    first = ledger.page("ann", limit=2)
    second = ledger.page("ann", limit=2, before=first.next)
    third = ledger.page("ann", limit=2, before=second.next)
    assert [[record.id for record in page.records] for page in (first, second, third)] == [
        ["5", "4"],
        ["3", "2"],
        ["1"],
    ]
    assert third.next is None and ledger.page("ann", limit=5).next is None
    assert ledger.page("bob").records == ()
    assert [record.id for record in ledger.page("ann", status="running").records] == ["1"]


def test_a_page_by_tag_finds_whole_tags_of_one_owner_and_redis_holds_no_tag(ledger: Ledger, redis: Redis) -> None:
    ledger.create(["a"], "ann", ["secret", "blue"])
    ledger.create(["b"], "ann", ["sec"])
    ledger.create(["c"], "bob", ["secret"])
    assert [record.id for record in ledger.page("ann", tag="secret").records] == ["a"]
    assert [record.id for record in ledger.page("ann", tag="sec").records] == ["b"]
    assert all(b"secret" not in b"".join(redis.hgetall(f"affect:job:{job}").values()) for job in "abc")


def events(redis: Redis, job_id: str) -> list[tuple[str, str, float]]:
    told = [fields for _, fields in redis.xrange(f"affect:events:{job_id}")]
    return [(each[b"status"].decode(), each[b"stage"].decode(), float(each[b"progress"])) for each in told]


def test_each_change_is_an_event_and_what_does_not_change_is_none(ledger: Ledger, redis: Redis) -> None:
    ledger.create(["a"], "ann")
    claim = ledger.claim()
    assert claim is not None
    for stage, progress in [("probe", 0.0), ("probe", 0.0), ("decode", 0.1), ("decode", 0.25)]:
        ledger.renew(claim, stage, progress)  # type: ignore[arg-type]
    ledger.finish(claim, "succeeded", stage="write")
    seen = [("queued", "", 0), ("running", "", 0), ("running", "probe", 0)]
    seen += [("running", "decode", 0.1), ("running", "decode", 0.25), ("succeeded", "write", 1)]
    assert events(redis, "a") == seen
    ledger.delete("a")
    assert events(redis, "a")[-1][0] == "deleted"


def test_a_record_names_the_last_event_that_it_knows_of(ledger: Ledger, redis: Redis) -> None:
    ledger.create(["a"], "ann")
    ledger.claim()
    record = ledger.get("a")
    assert record is not None and redis.xrange("affect:events:a", f"({record.event}") == []
    ledger.cancel("a")
    ledger.delete("a")
    assert len(redis.xrange("affect:events:a", f"({record.event}")) == 1  # type: ignore[arg-type]


def test_the_events_of_a_long_job_stay_few(ledger: Ledger, redis: Redis) -> None:
    ledger.create(["a"], "ann")
    claim = ledger.claim()
    assert claim is not None
    for step in range(500):
        ledger.renew(claim, "decode", step / 500)
    assert redis.xlen("affect:events:a") < 250


def test_an_ended_job_leaves_no_key_that_stays(redis: Redis) -> None:
    ledger = Ledger(redis, WireSettings(result_ttl=0.001))
    ledger.create(["a", "b"], "ann", ["tag"])
    claim = ledger.claim()
    assert claim is not None
    ledger.finish(claim, "failed", Failure(code="internal_error", message="."))
    while not ledger.expire():
        pass
    ledger.delete("b")
    lasting = [key for key in redis.keys("*") if redis.ttl(key) == -1]
    assert sorted(lasting) == [b"affect:erased", b"affect:seq:ann"]


def test_the_stage_of_a_failure_is_where_the_job_was(redis: Redis) -> None:
    ledger = Ledger(redis, WireSettings(lease_seconds=1e-6, max_attempts=1))
    ledger.create(["a"], "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.renew(claim, "faces", 0.3)
    ledger.reap()
    record = ledger.get("a")
    assert record is not None and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.stage) == ("worker_lost", "faces", "faces")


def test_a_final_state_that_is_written_twice_is_no_lost_claim(ledger: Ledger) -> None:
    """A client that got no answer asks again."""
    ledger.create(["a"], "ann")
    claim = ledger.claim()
    assert claim is not None
    ledger.finish(claim, "succeeded")
    ledger.finish(claim, "succeeded")
    ledger.create(["a"], "ann")
    assert ledger.get("a").status == "succeeded"  # type: ignore[union-attr]


def test_a_chore_falls_to_one(ledger: Ledger) -> None:
    assert [ledger.turn("sweep", 60) for _ in range(3)] == [True, False, False]
    assert ledger.turn("other", 60)


def test_each_kind_of_worker_has_a_queue_of_its_own(ledger: Ledger) -> None:
    ledger.create(["file"], "ann")
    ledger.create(["link", "other link"], "ann", queue="io")
    assert (ledger.queued(), ledger.queued("io"), ledger.queued("inference"), ledger.queued("live")) == (3, 2, 1, 0)
    assert [ledger.get(each).position for each in ("file", "link", "other link")] == [0, 0, 1]  # type: ignore[union-attr]
    assert ledger.claim("live") is None
    assert [claim.job_id for claim in (ledger.claim("io"), ledger.claim()) if claim] == ["link", "file"]
    ledger.cancel("other link")
    assert ledger.claim("io") is None and ledger.queued() == 0
    with pytest.raises(QueueFull):
        ledger.create([str(number) for number in range(6)], "ann", queue="io")


def test_a_fetched_job_goes_on_in_its_place_with_all_its_attempts(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create(["link"], "ann", queue="io")
    ledger.create(["later"], "ann")
    ledger.claim("io")
    assert ledger.reap() == {"link": "queued"} and ledger.claim() is not None
    fetching = ledger.claim("io")
    assert fetching is not None and (fetching.attempt, fetching.fetched) == (2, 0)
    ledger.pass_on(fetching)
    ledger.pass_on(fetching)  # a client that got no answer asks again
    record = ledger.get("link")
    assert record is not None and (record.status, record.queue, record.attempts) == ("queued", "inference", 0)
    assert ledger.reap() == {"later": "queued"}
    assert ledger.claim("io") is None
    claim = ledger.claim()
    assert claim is not None
    assert (claim.job_id, claim.attempt, claim.fetched) == ("link", 1, fetching.token) and claim.token > fetching.token
    failed_late(
        lambda: ledger.pass_on(fetching), lambda: ledger.renew(fetching), lambda: ledger.finish(fetching, "failed")
    )
    ledger.finish(claim, "succeeded")
    assert ledger.get("link").status == "succeeded"  # type: ignore[union-attr]


def test_a_job_whose_worker_died_waits_for_the_kind_that_it_waited_for(redis: Redis) -> None:
    ledger = lapsing(redis)
    ledger.create(["link"], "ann", queue="io")
    for status in ("queued", "queued", "failed"):
        assert ledger.claim() is None and ledger.claim("io") is not None and ledger.reap() == {"link": status}


def test_what_was_cancelled_or_deleted_while_it_was_fetched_is_not_passed_on(ledger: Ledger) -> None:
    ledger.create(["cancelled", "deleted"], "ann", queue="io")
    cancelled, deleted = ledger.claim("io"), ledger.claim("io")
    assert cancelled is not None and deleted is not None
    ledger.cancel("cancelled")
    with pytest.raises(Cancelled):
        ledger.pass_on(cancelled)
    ledger.finish(cancelled, "cancelled")
    ledger.delete("deleted")
    failed_late(lambda: ledger.pass_on(deleted))
    assert ledger.queued() == 0


def test_an_upload_under_way_is_known(ledger: Ledger) -> None:
    assert not ledger.knows("a")
    ledger.hold_upload("a")
    assert ledger.knows("a") and ledger.get("a") is None


def test_after_a_deletion_the_append_only_file_forgets() -> None:
    with redis_server("--appendonly", "yes") as url, Redis.from_url(url) as redis:
        ledger = Ledger(redis, WireSettings())
        folder = Path(url.removeprefix("unix://")).parent / "appendonlydir"

        def content(path: Path) -> bytes:
            try:
                return path.read_bytes()
            except FileNotFoundError:  # Redis has just put another in its place
                return b""

        def told() -> bool:
            return any(b"job_gone" in content(path) for path in folder.glob("appendonly.aof.*.aof"))

        ledger.create(["job_gone"], "ann")
        ledger.delete("job_gone")
        assert told()
        ledger.compact()
        assert redis.exists("affect:erased")  # its events are still there
        until = time.monotonic() + 10
        while redis.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < until:
            time.sleep(0.02)
        redis.delete("affect:events:job_gone", "affect:erasing")  # as their time to live would
        ledger.compact()
        until = time.monotonic() + 10
        while told() and time.monotonic() < until:
            time.sleep(0.02)
        assert not told()
        rewritten = redis.info("persistence")
        ledger.compact()
        assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and rewritten["aof_enabled"] == 1


def test_where_there_is_no_such_file_none_is_made(ledger: Ledger, redis: Redis) -> None:
    ledger.create(["a"], "ann")
    ledger.delete("a")
    ledger.compact()
    assert redis.info("persistence")["aof_rewrite_in_progress"] == 0 and redis.exists("affect:erased")


def test_small_jobs_are_claimed_together_each_in_the_turn_of_its_owner(ledger: Ledger) -> None:
    ledger.create(["a", "b", "c"], "ann", small=[True] * 3)
    ledger.create(["d"], "bob", small=[True])
    found = ledger.claims("inference", 3)
    assert [claim.job_id for claim in found] == ["a", "d", "b"]
    assert all(ledger.renew(claim) is False for claim in found)
    assert [claim.job_id for claim in ledger.claims("inference", 3)] == ["c"]
    assert ledger.claims("inference", 3) == []


def test_no_job_waits_for_a_long_one_that_was_claimed_with_it(ledger: Ledger) -> None:
    ledger.create(["small", "long", "last"], "ann", small=[True, False, True])
    found = [[claim.job_id for claim in ledger.claims("inference", 8)] for _ in range(4)]
    assert found == [["small"], ["long"], ["last"], []]


def test_only_small_jobs_are_claimed_where_only_these_are_wanted(ledger: Ledger) -> None:
    ledger.create(["first", "long", "last"], "ann", small=[True, False, True])
    found = [[claim.job_id for claim in ledger.claims("inference", 2, small=True)] for _ in range(2)]
    assert found == [["first"], []]
    record = ledger.get("long")
    assert record and (record.status, record.attempts) == ("queued", 0)
    assert [claim.job_id for claim in ledger.claims("inference", 2)] == ["long"]

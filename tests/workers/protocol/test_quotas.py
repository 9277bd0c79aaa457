"""What an owner may have in the ledger at once, who comes first, and how long it takes."""

import itertools

import pytest
from redis import Redis

from workers.protocol.settings import WireSettings
from workers.protocol.store.job_store import Ledger, QueueFull, Quota


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, WireSettings())


def stored(redis: Redis, owner: str = "ann") -> int:
    return int(redis.get(f"affect:bytes:{owner}") or 0)  # type: ignore[arg-type]


def test_an_owner_has_so_many_jobs_waiting_and_no_more(ledger: Ledger) -> None:
    quota = Quota(jobs=2)
    ledger.create(["a"], "ann", quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        ledger.create(["b", "c"], "ann", quota=quota)
    ledger.create(["b"], "ann", queue="io", quota=quota)
    with pytest.raises(QueueFull, match="your jobs"):
        ledger.check_room("ann", quota)
    ledger.check_room("bob", quota)
    ledger.claim()
    ledger.check_room("ann", quota)


def test_an_owner_has_so_many_bytes_stored_until_they_go(ledger: Ledger, redis: Redis) -> None:
    quota = Quota(bytes=100)
    ledger.create(["a", "b"], "ann", sizes=[60, 30], quota=quota)
    with pytest.raises(QueueFull, match="bytes"):
        ledger.create(["c"], "ann", sizes=[11], quota=quota)
    ledger.create(["c"], "ann", sizes=[10], keeps_media=True, quota=quota)
    ledger.create(["c"], "ann", sizes=[10], keeps_media=True, quota=quota)  # a client that got no answer asks again
    assert stored(redis) == 100
    for status, left in (("succeeded", 40), ("failed", 10), ("succeeded", 10)):
        claim = ledger.claim()
        assert claim is not None
        ledger.finish(claim, status)  # type: ignore[arg-type]
        assert stored(redis) == left  # media that are kept still count
    ledger.delete("a")
    ledger.delete("c")
    ledger.delete("c")
    assert not redis.exists("affect:bytes:ann")


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_what_is_taken_back_counts_no_more(ledger: Ledger, redis: Redis, end: str) -> None:
    ledger.create(["a"], "ann", sizes=[7], keeps_media=True)
    getattr(ledger, end)("a")
    assert stored(redis) == 0


def test_a_thousand_jobs_of_one_do_not_starve_the_one_of_another(ledger: Ledger) -> None:
    ledger.create([f"ann-{number}" for number in range(1000)], "ann")
    for number in range(5):
        ledger.claim()
        ledger.create([f"bob-{number}"], "bob")
        record = ledger.get(f"bob-{number}")
        assert record is not None and record.position is not None and record.position <= 1
        claimed = [claim.job_id for claim in (ledger.claim(), ledger.claim()) if claim]
        assert f"bob-{number}" in claimed


def test_three_owners_take_turns_whatever_each_has(ledger: Ledger) -> None:
    for owner, jobs in (("ann", 30), ("bob", 3), ("eve", 10)):
        ledger.create([f"{owner}-{number}" for number in range(jobs)], owner)
    claims = iter(ledger.claim, None)
    order = [claim.job_id.split("-")[0] for claim in itertools.islice(claims, 9) if claim]
    assert sorted(order[:3]) == sorted(order[3:6]) == sorted(order[6:]) == ["ann", "bob", "eve"]


def test_the_wait_follows_how_long_jobs_take_and_how_many_run(ledger: Ledger, redis: Redis) -> None:
    def waits(job_id: str) -> float:
        record = ledger.get(job_id)
        assert record is not None
        return record.waits

    ledger.create([str(number) for number in range(6)], "ann")
    assert waits("3") == ledger.seconds_for(1) == 0  # not known
    first = ledger.claim()
    assert first is not None
    redis.hincrbyfloat("affect:job:0", "started_at", -20)  # it took 20 seconds
    ledger.finish(first, "succeeded")
    assert waits("1") == pytest.approx(20, abs=2)
    assert waits("3") == pytest.approx(60, abs=6)
    for _ in range(2):
        ledger.claim()
    assert waits("3") == pytest.approx(10, abs=1)  # the first of those that wait, and two are worked on
    assert waits("2") == 0  # it is worked on
    ledger.cancel("5")
    assert ledger.seconds_for(1) == pytest.approx(10, abs=1)  # what nobody worked on tells nothing

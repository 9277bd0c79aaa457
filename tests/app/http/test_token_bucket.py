import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.token_bucket import TokenBucket


def test_spend_above_burst_waits_for_the_rest() -> None:
    bucket = TokenBucket(10, 20, now=0)
    assert bucket.spend(20, 0) == 0
    assert bucket.spend(5, 0) == pytest.approx(0.5)
    assert bucket.spend(0, 0.5) == pytest.approx(0)


def test_try_spend_takes_nothing_if_too_few_are_left() -> None:
    bucket = TokenBucket(10, 20, now=0)
    assert bucket.try_spend(15, 0)
    assert not bucket.try_spend(6, 0)
    assert bucket.try_spend(5, 0)
    assert bucket.try_spend(20, 2) and not bucket.try_spend(1, 2)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 30)), max_size=30))
def test_try_spend_never_exceeds_rate_and_burst(requests: list[tuple[float, float]]) -> None:
    bucket, now, taken = TokenBucket(10, 20, now=0), 0.0, 0.0
    for pause, tokens in requests:
        now += pause
        taken += tokens if bucket.try_spend(tokens, now) else 0
        assert taken <= 20 + 10 * now + 1e-6

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.fusion.windows import second_weights, windows_over


def test_windows_over_5_9_seconds_cover_all_of_it() -> None:
    assert windows_over(5.9, 4.0, 2.0) == (TimeSpan(0.0, 4.0), TimeSpan(2.0, 5.9))


def test_windows_over_a_short_duration_are_one_window() -> None:
    assert windows_over(4.0, 4.0, 2.0) == (TimeSpan(0.0, 4.0),)
    assert windows_over(0.3, 4.0, 2.0) == (TimeSpan(0.0, 0.3),)


def test_windows_over_no_duration_are_none() -> None:
    assert windows_over(0.0, 4.0, 2.0) == ()


@given(st.floats(0.01, 500), st.floats(0.5, 60), st.floats(0.1, 1))
def test_windows_cover_all_and_weights_count_each_second_once(duration: float, window: float, share: float) -> None:
    spans = windows_over(duration, window, window * share)
    assert spans[0].start == 0 and spans[-1].end == duration
    assert all(right.start <= left.end for left, right in pairwise(spans))
    assert all(span.end < duration for span in spans[:-1])
    weights = second_weights(spans)
    assert weights.sum() == pytest.approx(duration)
    assert (weights > 0).all()


def test_second_weights_share_seconds_of_overlapping_spans() -> None:
    np.testing.assert_allclose(second_weights([TimeSpan(0, 4), TimeSpan(2, 6), TimeSpan(8, 9)]), [3, 3, 1])

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.fusion.windows import second_weights, windows_over


def test_a_video_of_5_9_seconds_is_covered_whole() -> None:
    assert windows_over(5.9, 4.0, 2.0) == (TimeSpan(0.0, 4.0), TimeSpan(2.0, 5.9))


def test_what_fits_one_window_is_one_window() -> None:
    assert windows_over(4.0, 4.0, 2.0) == (TimeSpan(0.0, 4.0),)
    assert windows_over(0.3, 4.0, 2.0) == (TimeSpan(0.0, 0.3),)


def test_nothing_has_no_windows() -> None:
    assert windows_over(0.0, 4.0, 2.0) == ()


@given(st.floats(0.01, 500), st.floats(0.5, 60), st.floats(0.1, 1))
def test_windows_cover_everything_and_count_each_second_once(duration: float, window: float, share: float) -> None:
    spans = windows_over(duration, window, window * share)
    assert spans[0].start == 0 and spans[-1].end == duration
    assert all(right.start <= left.end for left, right in pairwise(spans))
    assert all(span.end < duration for span in spans[:-1])
    weights = second_weights(spans)
    assert weights.sum() == pytest.approx(duration)
    assert (weights > 0).all()


def test_shared_seconds_are_shared() -> None:
    np.testing.assert_allclose(second_weights([TimeSpan(0, 4), TimeSpan(2, 6), TimeSpan(8, 9)]), [3, 3, 1])

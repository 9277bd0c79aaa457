"""Search of a timeline, compared with a look at every interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.interval_index import IntervalIndex, mean_reading, without_overlap
from ml.reports.report import Report
from tests.ml.reports.made_results import patient, reports, sure_of, window


@patient
@given(reports(), st.floats(0, 12), st.floats(0, 12))
def test_interval_index_equals_linear_search(report: Report, one: float, other: float) -> None:
    windows = report.result.windows
    index, (start, end) = IntervalIndex(windows), sorted((one, other))
    assert index.overlapping(start, end) == [w for w in windows if w.start <= end and w.end >= start]
    nearest = index.nearest(one)
    assert nearest is not None
    if around := [w for w in windows if w.start <= one <= w.end]:
        assert nearest in around
        assert abs(nearest.start + nearest.end - 2 * one) == min(abs(w.start + w.end - 2 * one) for w in around)


@patient
@given(reports(), st.floats(0, 12), st.floats(0, 12))
def test_mean_reading_is_a_distribution(report: Report, one: float, other: float) -> None:
    reading = mean_reading(IntervalIndex(report.result.windows), *sorted((one, other)))
    if reading is not None:
        assert tuple(reading.probabilities) == report.result.labels
        assert sum(reading.probabilities.values()) == pytest.approx(1)


def test_mean_reading_over_one_window_is_its_reading() -> None:
    windows = IntervalIndex([window(0, 4, "happy"), window(4, 8, None), window(8, 12, "sad")])
    happy = mean_reading(windows, 0, 4)
    assert happy is not None
    assert happy.probabilities == pytest.approx(sure_of("happy"))
    assert mean_reading(windows, 5, 7) is None
    instant = mean_reading(windows, 2, 2)
    assert instant is not None
    assert instant.emotion == "happy"
    shortest = mean_reading(windows, 0, 5e-324)
    assert shortest is not None
    assert shortest.probabilities == pytest.approx(sure_of("happy"))


@patient
@given(reports())
def test_without_overlap_covers_timeline_once(report: Report) -> None:
    windows = report.result.windows
    parts = without_overlap(windows)
    assert [each for _, _, each in parts] == list(windows)
    edges = [edge for start, end, _ in parts for edge in (start, end)]
    assert (edges[0], edges[-1]) == (windows[0].start, windows[-1].end)
    assert edges[1:-1:2] == edges[2::2]
    assert edges == sorted(edges)
    assert without_overlap([]) == []

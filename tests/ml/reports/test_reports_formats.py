"""What holds for every format, and the questions that reports ask of a timeline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.formats import FORMAT_NAMES, FORMATS
from ml.reports.interval_index import Axis, cells, reading_over
from ml.reports.report import Report, milliseconds, moment_told, plain, told
from ml.results import Reading
from tests.ml.reports.made_results import image, moment, patient, reports, sure_of, window

WRITERS = [(name, rows) for name, known in FORMATS.items() for rows in known.writers]


@patient
@given(reports())
def test_any_report_can_be_written_in_any_format(report: Report) -> None:
    for known in FORMATS.values():
        for write in known.writers.values():
            text = write(report)
            assert text.encode().decode() == text
            assert not any(character in text for character in "\0\x1b\x85\u2028\u202e")


@pytest.mark.parametrize(("name", "rows"), WRITERS)
def test_an_image_can_be_written_in_any_format(name: str, rows: str) -> None:
    assert isinstance(FORMATS[name].writers[rows](image()), str)  # type: ignore[index]


def test_formats_are_told_apart_by_type_and_ending() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES
    assert len({known.media_type for known in FORMATS.values()}) == len(FORMATS)
    assert len({known.suffix for known in FORMATS.values()}) == len(FORMATS)


@patient
@given(reports(), st.floats(0, 12), st.floats(0, 12))
def test_an_axis_finds_what_a_look_at_each_would(report: Report, one: float, other: float) -> None:
    windows = report.result.windows
    axis, (start, end) = Axis(windows), sorted((one, other))
    assert axis.touching(start, end) == [w for w in windows if w.start <= end and w.end >= start]
    near = axis.at(one)
    assert near is not None
    if around := [w for w in windows if w.start <= one <= w.end]:
        assert near in around
        assert abs(near.start + near.end - 2 * one) == min(abs(w.start + w.end - 2 * one) for w in around)


@patient
@given(reports(), st.floats(0, 12), st.floats(0, 12))
def test_a_reading_over_a_stretch_is_a_distribution(report: Report, one: float, other: float) -> None:
    reading = reading_over(Axis(report.result.windows), *sorted((one, other)))
    if reading is not None:
        assert tuple(reading.probabilities) == report.result.labels
        assert sum(reading.probabilities.values()) == pytest.approx(1)


def test_a_reading_over_a_window_is_its_own() -> None:
    windows = Axis([window(0, 4, "happy"), window(4, 8, None), window(8, 12, "sad")])
    happy = reading_over(windows, 0, 4)
    assert happy is not None
    assert happy.probabilities == pytest.approx(sure_of("happy"))
    assert reading_over(windows, 5, 7) is None
    instant = reading_over(windows, 2, 2)
    assert instant is not None
    assert instant.emotion == "happy"
    shortest = reading_over(windows, 0, 5e-324)
    assert shortest is not None
    assert shortest.probabilities == pytest.approx(sure_of("happy"))


@patient
@given(reports())
def test_cells_cover_the_timeline_once(report: Report) -> None:
    windows = report.result.windows
    found = cells(windows)
    assert [told for _, _, told in found] == list(windows)
    edges = [edge for start, end, _ in found for edge in (start, end)]
    assert (edges[0], edges[-1]) == (windows[0].start, windows[-1].end)
    assert edges[1:-1:2] == edges[2::2]
    assert edges == sorted(edges)
    assert cells([]) == []


@given(st.text())
def test_plain_text_is_one_line_that_xml_and_terminals_take(text: str) -> None:
    line = plain(text)
    assert len(line.splitlines()) <= 1
    assert plain(line) == line
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)


@pytest.mark.parametrize("text", ["Ünïcode 日本 🎉", "a <b> & 'c'", ""])
def test_plain_text_keeps_what_is_harmless(text: str) -> None:
    assert plain(text) == text


def test_a_reading_and_a_moment_in_words() -> None:
    assert told(Reading.from_probabilities(sure_of("sad", 0.766))) == "sad 77%"
    assert told(Reading.empty()) == "nothing to read"
    assert moment_told(moment(1, "peak", None, "sad", 0.7)) == "peak of sad"
    assert moment_told(moment(1, "shift", "sad", "happy", 0.7, "text", "face")) == "from sad to happy: face, text"
    assert [milliseconds(time) for time in (-1.0, 0.0004, 1.2345)] == [0, 0, 1234]

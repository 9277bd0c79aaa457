"""Safe text, and readings and moments in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.reports.report import milliseconds, moment_text, reading_text, sanitize
from ml.results import Reading
from tests.ml.reports.made_results import moment, sure_of


@given(st.text())
def test_sanitize_any_text_is_one_safe_line(text: str) -> None:
    line = sanitize(text)
    assert len(line.splitlines()) <= 1
    assert sanitize(line) == line
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)


@pytest.mark.parametrize("text", ["Ünïcode 日本 🎉", "a <b> & 'c'", ""])
def test_sanitize_harmless_text_is_unchanged(text: str) -> None:
    assert sanitize(text) == text


def test_reading_text_and_moment_text() -> None:
    assert reading_text(Reading.from_probabilities(sure_of("sad", 0.766))) == "sad 77%"
    assert reading_text(Reading.empty()) == "no signal"
    assert moment_text(moment(1, "peak", None, "sad", 0.7)) == "sad peak"
    assert moment_text(moment(1, "shift", "sad", "happy", 0.7, "text", "face")) == "sad → happy: face, words"


def test_milliseconds_are_rounded_and_never_negative() -> None:
    assert [milliseconds(time) for time in (-1.0, 0.0004, 1.2345)] == [0, 0, 1234]

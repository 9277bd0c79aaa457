import pytest

from ml.reports.interval_index import shared_labels
from ml.reports.report import certainty_text, labels_text, reading_text
from ml.results import Modalities, Reading, Window
from ml.vocabulary import MODALITIES
from tests.ml.reports.made_results import sure_of


def _reading(labels_90: tuple[str, ...] | None) -> Reading:
    return Reading.from_probabilities(sure_of("sad", 0.46)).labelled(labels_90)


@pytest.mark.parametrize(
    ("labels_90", "text"),
    [
        (None, "sad 46%"),
        (("sad",), "sad 46%"),
        (("sad", "neutral"), "sad or neutral"),
        (("sad", "neutral", "fear"), "sad, neutral or fear"),
        (("sad", "neutral", "fear", "angry"), "unclear, perhaps sad"),
    ],
)
def test_reading_text_names_the_labels(labels_90: tuple[str, ...] | None, text: str) -> None:
    assert reading_text(_reading(labels_90)) == text


def test_certainty_text_says_how_often_such_readings_are_right() -> None:
    text = certainty_text(_reading(("sad", "neutral", "fear")))
    assert text.startswith("Uncertain. ") and "about 5 in 10" in text and "Likely: sad, neutral or fear; such" in text
    assert "Uncertain" not in certainty_text(_reading(("sad",)))
    assert certainty_text(_reading(None)) == certainty_text(Reading.empty()) == ""


def _window(start: float, labels_90: tuple[str, ...] | None) -> Window:
    reading = _reading(labels_90)
    return Window(**reading.model_dump(), start=start, end=start + 2, modalities=Modalities(), missing=MODALITIES)


def test_shared_labels_are_those_of_half_of_the_time() -> None:
    windows = [_window(0, ("sad", "neutral")), _window(2, ("sad", "neutral", "fear")), _window(4, ("sad", "angry"))]
    assert shared_labels(windows, [1, 1, 1], "sad") == ("sad", "neutral")
    assert shared_labels(windows, [1, 1, 4], "sad") == ("sad", "angry")
    assert shared_labels([*windows, _window(6, None)], [1, 1, 1, 1], "sad") is None
    assert labels_text(("happy",)) == "happy"

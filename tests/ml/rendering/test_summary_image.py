"""The summary image."""

import numpy as np
import pytest
from hypothesis import given, settings

from ml.rendering.drawing import emotion_rgb, wrap_text
from ml.rendering.summary import Band, areas, summary
from ml.rendering.typeface import typeface
from ml.reports.report import Report
from tests.ml.reports.made_results import FULL, call, image, reports, sure_of, video


def test_areas_heights_are_shares_and_gaps_are_pale() -> None:
    band = Band("Combined", ((0.0, 2.0, sure_of("happy", 0.7)), (2.0, 4.0, None)))
    picture = areas(band, FULL, 4.0, 100, 70)
    happy = (picture == emotion_rgb("happy")).all(-1)
    assert happy[:, :50].mean() == pytest.approx(0.7, abs=0.02) and not happy[:, 50:].any()
    assert len(np.unique(picture[:, 50:].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("report", [video(), call(), image()], ids=lambda report: report.name)
def test_summary_shows_colours_of_read_emotions(report: Report) -> None:
    picture = np.asarray(summary(report.result, report.name))
    assert picture.shape[1:] == (1200, 3) and picture.shape[0] < 1500
    shown = {tuple(colour) for colour in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
    assert {emotion_rgb("happy"), emotion_rgb("neutral"), emotion_rgb("angry")} <= shown


@settings(max_examples=10, deadline=None)
@given(reports())
def test_summary_of_any_result_can_be_drawn(report: Report) -> None:
    assert summary(report.result, report.name).width == 1200


def test_wrap_text_long_text_is_truncated() -> None:
    face = typeface(16)
    lines = wrap_text("word " * 100 + "x" * 300, face, 200, 2)
    assert len(lines) == 2 and lines[-1].endswith("…")
    assert all(face.length(line) <= 200 for line in [*lines, *wrap_text("x" * 300, face, 200, 2)])

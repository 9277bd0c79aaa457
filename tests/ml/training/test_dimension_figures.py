"""Agreement of dimensions with sentiments and ratings."""

import numpy as np
import pytest

from ml.training.datasets.example import Example
from ml.training.dimension_figures import _above, _agreement, dimension_table


def said(sentiment: str | None = None, ratings: tuple[float, float, float] | None = None) -> Example:
    return Example(label=None, dataset="toy", split="valid", text="so", sentiment=sentiment, dimensions=ratings)  # type: ignore[arg-type]


def test_above_is_the_share_of_pairs() -> None:
    assert _above(np.array([0.5, 0.1]), np.array([0.2, 0.0])) == 0.75
    assert _above(np.array([0.2]), np.array([0.2])) == 0.5


def test_agreement_with_sentiments_has_means_and_order() -> None:
    examples = [said("negative"), said("positive"), said("positive"), said("neutral")]
    figures = _agreement(examples, np.array([[-0.5, 0], [0.5, 0], [0.3, 0], [np.nan, np.nan]]))
    assert figures["n"] == 3 and figures["positive_above_negative"] == 1
    assert figures["mean_valence"] == {"negative": -0.5, "positive": 0.4}


def test_agreement_with_ratings_is_a_correlation() -> None:
    ratings = [(-0.5, 0.1, 0), (0.0, 0.3, 0), (0.5, 0.2, 0)]
    values = np.array([[each[0], -each[1]] for each in ratings])
    figures = _agreement([said(ratings=each) for each in ratings], values)
    assert figures["valence_r"] == pytest.approx(1) and figures["arousal_r"] == pytest.approx(-1)


def test_agreement_without_readings_has_none() -> None:
    assert _agreement([said("positive")], np.full((1, 2), np.nan)) == {"n": 0}


def test_table_has_a_row_for_each_set_and_source() -> None:
    figures = {"meld": {"words": {"n": 0}, "emotions": _agreement([said("negative"), said("positive")], np.eye(2))}}
    assert dimension_table(figures).count("| meld |") == 2

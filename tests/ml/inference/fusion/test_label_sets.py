import numpy as np
import pytest

from ml.inference.fusion.label_sets import covered, fit_threshold, set_sizes
from ml.results import Reading, label_set


def _readings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of a reader who is mistaken for the next label at times, and the labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 7, count)
    logits = random.normal(0, 1, (count, 7))
    logits[np.arange(count), labels] += 1.2
    logits[np.arange(count), (labels + 1) % 7] += 0.6
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


def test_fit_threshold_covers_nine_in_ten_of_other_people() -> None:
    threshold = fit_threshold(*_readings(3_000, 0), np.ones(3_000))
    probabilities, labels = _readings(3_000, 1)
    assert covered(probabilities, labels, threshold).mean() == pytest.approx(0.9, abs=0.02)
    sizes = set_sizes(probabilities, threshold)
    assert sizes.min() >= 1 and sizes.mean() < 5


def test_fit_threshold_weights_count() -> None:
    probabilities, labels = _readings(4_000, 2)
    weights = np.where(labels == 6, 8.0, 1.0)
    threshold = fit_threshold(probabilities, labels, weights)
    assert np.average(covered(probabilities, labels, threshold), weights=weights) == pytest.approx(0.9, abs=0.01)


def test_fit_threshold_of_a_reader_who_is_nearly_always_right_is_low() -> None:
    labels = np.arange(1_000) % 7
    probabilities = np.full((1_000, 7), 0.05)
    probabilities[np.arange(1_000), labels] = 0.7
    threshold = fit_threshold(probabilities, labels, np.ones(1_000))
    assert threshold < 0.01 and set_sizes(probabilities, threshold).tolist() == [1] * 1_000
    assert fit_threshold(probabilities[:1], (labels[:1] + 1) % 7, np.ones(1)) == 1.0


def test_covered_and_set_sizes_take_a_threshold_for_each_row() -> None:
    probabilities, labels = np.array([[0.5, 0.3, 0.2]] * 3), np.array([1, 1, 0])
    thresholds = np.array([0.4, 0.6, 0.1])
    assert covered(probabilities, labels, thresholds).tolist() == [False, True, True]
    assert set_sizes(probabilities, thresholds).tolist() == [1, 2, 1]


def test_label_set_has_the_most_probable_first_and_never_none() -> None:
    probabilities = {"angry": 0.2, "sad": 0.5, "happy": 0.3}
    assert label_set(probabilities, 0.6) == ("sad", "happy")
    assert label_set(probabilities, 0.9) == ("sad", "happy", "angry")
    assert label_set(probabilities, 0.3) == ("sad",)
    assert label_set(probabilities, 0.0) == ("sad",)
    assert label_set(probabilities, None) is None


def test_reading_with_more_than_two_labels_is_uncertain() -> None:
    probabilities = {"angry": 0.2, "sad": 0.5, "happy": 0.3}
    assert Reading.from_probabilities(probabilities, 0.9).uncertain is True
    assert Reading.from_probabilities(probabilities, 0.6).uncertain is False
    assert Reading.from_probabilities(probabilities).uncertain is None

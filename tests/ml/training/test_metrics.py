"""Figures against hand-computed values and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from torch.nn.functional import cross_entropy

from ml.training.metrics import fit_temperature, measure, softmax


def test_measure_equals_hand_computed_figures() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    figures = measure(probabilities, np.array([0, 0, 1, 1]), ("a", "b"))
    assert figures.n == 4
    assert figures.confusion == [[2, 0], [1, 1]]
    assert figures.accuracy == pytest.approx(0.75)
    assert figures.uar == pytest.approx((1 + 0.5) / 2)
    assert figures.macro_f1 == pytest.approx((4 / 5 + 2 / 3) / 2)
    # Four rows in four bins: |.9-1|, |.8-1|, |.7-1|, |.6-0|.
    assert figures.ece == pytest.approx((0.1 + 0.2 + 0.3 + 0.6) / 4)


def test_measure_equals_scikit_learn_with_absent_classes() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(7), 300)
    targets = generator.choice([0, 3, 4, 6], 300)
    figures = measure(probabilities, targets, "abcdefg", resamples=10)
    predictions = probabilities.argmax(1)
    assert figures.macro_f1 == pytest.approx(f1_score(targets, predictions, average="macro"))
    assert figures.weighted_f1 == pytest.approx(f1_score(targets, predictions, average="weighted"))
    low, high = figures.intervals["weighted_f1"]
    assert low < figures.weighted_f1 < high
    recalls = [float((predictions[targets == label] == label).mean()) for label in np.unique(targets)]
    assert figures.uar == pytest.approx(np.mean(recalls))
    assert figures.confusion == confusion_matrix(targets, predictions, labels=range(7)).tolist()


def test_measure_uar_is_balanced_accuracy() -> None:
    generator = np.random.default_rng(1)
    probabilities, targets = generator.dirichlet(np.ones(3), 500), generator.integers(0, 3, 500)
    figures = measure(probabilities, targets, "abc", resamples=10)
    assert figures.uar == pytest.approx(balanced_accuracy_score(targets, probabilities.argmax(1)))


def test_measure_interval_is_that_of_a_proportion() -> None:
    targets = np.zeros(1000, dtype=int)
    probabilities = np.tile([0.4, 0.6], (1000, 1))
    probabilities[:700] = [0.6, 0.4]
    first = measure(probabilities, targets, ("a", "b"))
    low, high = first.intervals["accuracy"]
    half_width = 1.96 * np.sqrt(0.7 * 0.3 / 1000)
    assert (low, high) == pytest.approx((0.7 - half_width, 0.7 + half_width), abs=0.006)
    assert measure(probabilities, targets, ("a", "b")) == first


def test_measure_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        measure(np.zeros((0, 7)), np.zeros(0, dtype=int), "abcdefg")


def test_fit_temperature_recovers_the_temperature() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4000, 5) * 2
    targets = torch.distributions.Categorical(logits=logits).sample()
    overconfident = logits * 3
    temperature = fit_temperature(overconfident, targets)
    assert temperature == pytest.approx(3.0, rel=0.1)
    assert cross_entropy(overconfident / temperature, targets) < cross_entropy(overconfident, targets)
    before = measure(softmax(overconfident), targets.numpy(), "abcde", resamples=10).ece
    after = measure(softmax(overconfident, temperature), targets.numpy(), "abcde", resamples=10).ece
    assert after < before / 2


def test_fit_temperature_weights_equal_repeated_rows() -> None:
    torch.manual_seed(0)
    logits = torch.randn(300, 5) * 4
    targets = torch.randint(0, 5, (300,))
    times = torch.arange(300) % 3
    told = fit_temperature(logits.repeat_interleave(times, 0), targets.repeat_interleave(times))
    assert fit_temperature(logits, targets, times) == pytest.approx(told)

"""Figures of probabilities: accuracy, F1, UAR and calibration error, with bootstrap intervals; temperature scaling."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

ECE_BINS = 15
RESAMPLES = 1000
FIGURES = ("accuracy", "macro_f1", "weighted_f1", "uar", "ece")
_RESAMPLES_PER_CHUNK = 50
"""Bootstrap resamples per matrix product; bounds memory."""


@dataclass(frozen=True)
class ClassificationMetrics:
    """Figures of one data set, as `python -m ml evaluate` prints them.

    `macro_f1` is over the classes that occur in truth or prediction, `weighted_f1` weights each by its share of the
    truth, `uar` (unweighted average recall) is over those in truth, all as scikit-learn has them. `ece` is the expected
    calibration error over 15 equal bins of the confidence (Guo et al. 2017). `intervals` are 95 % percentile bootstrap
    intervals; `confusion[i][j]` counts truth i, taken for j.
    """

    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    uar: float
    ece: float
    intervals: dict[str, tuple[float, float]]
    labels: tuple[str, ...]
    confusion: list[list[int]]
    skipped: int = 0
    reliability: tuple[tuple[int, float, float], ...] = ()
    """Reliability bins: count, mean confidence and accuracy of each. Not in the JSON."""

    def json(self) -> dict[str, Any]:
        document = asdict(self)
        del document["reliability"]
        return document


@dataclass(frozen=True)
class Ablation:
    """Figures with all modalities, without each modality, and of each modality alone, all over the same rows."""

    whole: ClassificationMetrics
    without: dict[str, ClassificationMetrics]
    alone: dict[str, ClassificationMetrics]


def measure(
    probabilities_NC: NDArray[Any],
    targets_N: NDArray[Any],
    labels: Sequence[str],
    *,
    skipped: int = 0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ClassificationMetrics:
    """Return the figures of probabilities against class indices. Raises ValueError if there are no rows."""
    if len(targets_N) == 0:
        raise ValueError("nothing to measure: no labelled example could be read")
    tallies = _Tallies(np.asarray(probabilities_NC, dtype=np.float64), np.asarray(targets_N), len(labels))
    whole = tallies.figures(np.ones((1, tallies.n)))
    drawn = tallies.bootstrap(resamples, seed)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return ClassificationMetrics(
        n=tallies.n,
        **{name: float(value) for name, value in zip(FIGURES, whole[0], strict=True)},
        intervals={name: (float(low[i]), float(high[i])) for i, name in enumerate(FIGURES)},
        labels=tuple(labels),
        confusion=tallies.confusion.astype(int).tolist(),
        skipped=skipped,
        reliability=tallies.reliability(),
    )


def confusion_matrix(predictions_N: NDArray[Any], targets_N: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return counts [truth, prediction]."""
    cells = np.bincount(targets_N * classes + predictions_N, minlength=classes * classes)
    return cells.reshape(classes, classes)


class _Tallies:
    """Sums over rows, of which all figures are functions. A bootstrap resample is a vector of row weights."""

    def __init__(self, probabilities_NC: NDArray[np.float64], targets_N: NDArray[Any], classes: int) -> None:
        self.n, self.classes = len(targets_N), classes
        predictions_N = probabilities_NC.argmax(1)
        self.confidence_N = confidence_N = probabilities_NC.max(1)
        self.confusion = confusion_matrix(predictions_N, targets_N, classes)
        self.cell_N = targets_N * classes + predictions_N
        self.bin_N = np.clip(np.ceil(confidence_N * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
        self.gap_N = confidence_N - (predictions_N == targets_N)

    def reliability(self) -> tuple[tuple[int, float, float], ...]:
        counts = np.bincount(self.bin_N, minlength=ECE_BINS)
        sure = np.bincount(self.bin_N, weights=self.confidence_N, minlength=ECE_BINS) / np.maximum(counts, 1)
        gap = np.bincount(self.bin_N, weights=self.gap_N, minlength=ECE_BINS) / np.maximum(counts, 1)
        return tuple((int(n), float(s), float(s - g)) for n, s, g in zip(counts, sure, gap, strict=True))

    def bootstrap(self, resamples: int, seed: int) -> NDArray[np.float64]:
        """Return figures [resamples, F] of rows drawn with replacement."""
        generator = np.random.default_rng(seed)
        drawn = []
        for start in range(0, resamples, _RESAMPLES_PER_CHUNK):
            size = min(_RESAMPLES_PER_CHUNK, resamples - start)
            rows_RN = generator.integers(0, self.n, (size, self.n))
            drawn.append(self.figures(np.stack([np.bincount(row, minlength=self.n) for row in rows_RN])))
        return np.concatenate(drawn)

    def figures(self, weights_RN: NDArray[Any]) -> NDArray[np.float64]:
        """Return FIGURES of each row of weights: [R, F]."""
        confusion_RCC = self._sums(self.cell_N, weights_RN, self.classes**2).reshape(-1, self.classes, self.classes)
        hits_RC = np.diagonal(confusion_RCC, axis1=1, axis2=2)
        true_RC, predicted_RC = confusion_RCC.sum(2), confusion_RCC.sum(1)
        recall_RC = hits_RC / np.maximum(true_RC, 1)
        f1_RC = 2 * hits_RC / np.maximum(true_RC + predicted_RC, 1)
        gaps_RB = self._sums(self.bin_N, weights_RN * self.gap_N, ECE_BINS)
        return np.stack(
            [
                hits_RC.sum(1) / self.n,
                f1_RC.sum(1) / (true_RC + predicted_RC > 0).sum(1),
                (f1_RC * true_RC).sum(1) / self.n,
                recall_RC.sum(1) / (true_RC > 0).sum(1),
                np.abs(gaps_RB).sum(1) / self.n,
            ],
            axis=1,
        )

    @staticmethod
    def _sums(key_N: NDArray[Any], weights_RN: NDArray[Any], size: int) -> NDArray[np.float64]:
        return np.stack([np.bincount(key_N, weights=row, minlength=size) for row in weights_RN])


def fit_temperature(logits_NC: Tensor, targets_N: Tensor, weights_N: Tensor | None = None) -> float:
    """Return the temperature T that minimises the cross-entropy of softmax(logits / T) (Guo et al. 2017), in [0.05,
    20].

    The loss is convex in 1 / T; it is searched by golden section over log T. `weights_N`: weight of each row; by
    default all rows have the same.
    """
    logits_NC = logits_NC.double()
    weights_N = (torch.ones(len(targets_N)) if weights_N is None else weights_N).double()

    def loss(log_temperature: float) -> float:
        return float(cross_entropy(logits_NC / np.exp(log_temperature), targets_N, reduction="none") @ weights_N)

    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def softmax(logits_NC: Tensor, temperature: float = 1.0) -> NDArray[np.float64]:
    return torch.softmax(logits_NC.double() / temperature, dim=-1).numpy()

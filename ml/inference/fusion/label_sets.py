"""`labels_90`: the most probable labels, as many as hold the one that people would give in 90 % of cases.

Split conformal prediction (Vovk et al. 2005) with the score of Romano, Sesia and Candès ("Classification with valid and
adaptive coverage", 2020), not randomised: a set has labels in falling order until the sum of their probabilities
reaches a threshold, which is a quantile over people held out. A reading that is less sure therefore has more labels.
"""

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""Share of cases in which a set holds the label that people would give."""
_STEP = 1e-5
"""Step of thresholds, as a manifest has them."""


def fit_threshold(
    probabilities_NC: NDArray[np.floating], targets_N: NDArray[np.int64], weights_N: NDArray[np.floating]
) -> float:
    """Return the threshold at which the sets of these rows, with these weights, hold the target in 90 % of cases.

    It is just above the weighted quantile of what is more probable than the target, with one row more that is never
    covered.
    """
    sums_N = _sums_before(probabilities_NC, targets_N)
    order = np.argsort(sums_N)
    shares = np.cumsum(weights_N[order]) / (weights_N.sum() + weights_N.mean())
    place = int(np.searchsorted(shares, COVERAGE))
    if place >= len(order):
        return 1.0
    return min(round(float(np.floor(sums_N[order[place]] / _STEP) + 1) * _STEP, 5), 1.0)


def covered(
    probabilities_NC: NDArray[np.floating], targets_N: NDArray[np.int64], threshold: float | NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Return which sets hold the target: [N]. `threshold`: one of all rows, or one for each."""
    sums_N = _sums_before(probabilities_NC, targets_N)
    return np.asarray((sums_N < threshold) | (sums_N == 0))


def set_sizes(probabilities_NC: NDArray[np.floating], threshold: float | NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the number of labels of each set: [N]. `threshold`: one of all rows, or one for each."""
    sorted_NC = -np.sort(-probabilities_NC, axis=1)
    before_NC = np.cumsum(sorted_NC, axis=1) - sorted_NC
    return np.maximum((before_NC < np.reshape(threshold, (-1, 1))).sum(1), 1)


def _sums_before(probabilities_NC: NDArray[np.floating], targets_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of the probabilities above the target's: [N]."""
    right_N1 = probabilities_NC[np.arange(len(targets_N)), targets_N, None]
    return np.where(probabilities_NC > right_N1, probabilities_NC, 0).sum(1, dtype=np.float64)

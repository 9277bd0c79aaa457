"""`labels_90`: the smallest sets of labels that hold the label that people would give in 90 % of cases.

Split conformal prediction (Vovk et al. 2005) with the score of Sadinle, Lei and Wasserman ("Least ambiguous set-valued
classifiers with bounded error levels", 2019): a set has every label with at least a threshold of probability, which is
a quantile of the probabilities of the right labels of people held out.
"""

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.9
"""Share of cases in which a set holds the label that people would give."""


def fit_threshold(
    probabilities_NC: NDArray[np.floating], targets_N: NDArray[np.int64], weights_N: NDArray[np.floating]
) -> float:
    """Return the threshold at which the sets of these rows, with these weights, hold the target in 90 % of cases.

    It is the weighted quantile of the targets' probabilities, with one row more that is never covered. The top label is
    always in a set, so rows that are read rightly count as covered.
    """
    right_N = probabilities_NC[np.arange(len(targets_N)), targets_N]
    scores_N = np.where(probabilities_NC.argmax(1) == targets_N, 1.0, right_N)
    order = np.argsort(-scores_N)
    shares = np.cumsum(weights_N[order]) / (weights_N.sum() + weights_N.mean())
    place = min(int(np.searchsorted(shares, COVERAGE)), len(order) - 1)
    return float(right_N[order[place]] if scores_N[order[place]] < 1 else probabilities_NC.max())


def covered(
    probabilities_NC: NDArray[np.floating], targets_N: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """Return which sets hold the target: [N]."""
    right_N = probabilities_NC[np.arange(len(targets_N)), targets_N]
    return (right_N >= threshold) | (probabilities_NC.argmax(1) == targets_N)


def set_sizes(probabilities_NC: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """Return the number of labels of each set: [N]."""
    return np.maximum((probabilities_NC >= threshold).sum(1), 1)

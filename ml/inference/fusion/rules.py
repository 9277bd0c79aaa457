"""Rules that every combined reading keeps, whatever network made it, so that people can follow it.

- With one modality the combined reading is that modality's (`Fusion` and `FusionPredictor` see to it).
- The emotion of a window has at least `MIN_SUPPORT` of the top probability in some modality.
- Modalities that agree sharpen the reading by no more than held-out clips support.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.fusion.calibration import normalized

MIN_SUPPORT = 0.92
"""Minimum probability of a window's emotion in some modality, as a share of that modality's top probability. At half,
three in a hundred composed clips still have an emotion that no modality puts first; like this, fewer than one."""
_MARGIN = 0.01
"""Log-odds between the emotion of a window and the emotions that no modality supports."""
_BISECTIONS = 24


def support(
    combined_NC: FloatArray, modalities_NMC: FloatArray, mask_NM: FloatArray, minimum: float = MIN_SUPPORT
) -> FloatArray:
    """Return log-probabilities whose top emotion some modality supports: the others are pressed below it.

    `modalities_NMC`: log-probabilities; rows without any modality are returned as they are.
    """
    present_NM1 = mask_NM[..., None] > 0
    top_NM1 = modalities_NMC.max(-1, keepdims=True)
    supported_NC = (present_NM1 & (modalities_NMC >= top_NM1 + np.log(minimum))).any(1)
    supported_NC |= ~supported_NC.any(1, keepdims=True)
    limit_N1 = np.where(supported_NC, combined_NC, -np.inf).max(1, keepdims=True) - _MARGIN
    return normalized(np.where(supported_NC, combined_NC, np.minimum(combined_NC, limit_N1)))


def limit_sharpening(
    combined_NC: FloatArray, modalities_NMC: FloatArray, mask_NM: FloatArray, sharpening: Sequence[float]
) -> FloatArray:
    """Return log-probabilities that are flattened if they are surer than `sharpening` permits.

    `sharpening`: by the number of modalities that put the emotion first, the log-odds that it may gain over the
    modality that is surest of it; empty to permit all. The order of the emotions stays.
    """
    if not sharpening:
        return combined_NC
    own_N, agreeing_N = surest(combined_NC, modalities_NMC, mask_NM)
    limits_N = sigmoid(log_odds(own_N) + np.asarray(sharpening)[np.minimum(agreeing_N, len(sharpening) - 1)])
    limits_N = np.maximum(limits_N, 1 / combined_NC.shape[1] + 0.01)
    rows = np.flatnonzero((np.exp(combined_NC.max(1)) > limits_N + 1e-6) & (mask_NM.sum(1) > 1))
    flattened = combined_NC.copy()
    low_R, high_R = np.zeros(len(rows)), np.ones(len(rows))
    for _ in range(_BISECTIONS):
        middle_R = (low_R + high_R) / 2
        too_sure = np.exp(normalized(combined_NC[rows] * middle_R[:, None]).max(1)) > limits_N[rows]
        low_R, high_R = np.where(too_sure, low_R, middle_R), np.where(too_sure, middle_R, high_R)
    flattened[rows] = normalized(combined_NC[rows] * low_R[:, None])
    return flattened


def surest(
    combined_NC: FloatArray, modalities_NMC: FloatArray, mask_NM: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return of each row's top emotion: the highest probability that a modality gives it, and how many put it first."""
    top_N = combined_NC.argmax(1)
    own_NM = np.take_along_axis(modalities_NMC, top_N[:, None, None], 2)[..., 0]
    first_NM = (modalities_NMC.argmax(2) == top_N[:, None]) & (mask_NM > 0)
    own_N = np.exp(np.where(mask_NM > 0, own_NM, -np.inf).max(1)).astype(np.float64)
    return own_N, first_NM.sum(1)


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))

"""Qualities of what was read, scaled to about 0 to 1 for the fusion; NaN if unknown."""

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face import quality as face

MAX_WORDS = 24
"""Words of a window beyond which more of them change nothing."""
MIN_FRAME_WEIGHT = 0.05
FULL_SIZE, FULL_SHARPNESS, FULL_POSE = (0.05, 0.35), (0.06, 0.2), (-1.0, -0.5)
"""Scaled qualities between which a frame's weight rises from nothing to all: size from 9 to 27 pixels, sharpness from
.015 to .05 (measured: faces of 12 pixels a side lose two fifths of the right readings, of 36 hardly any), pose from 60
to 30 degrees."""
REST = 0.25
"""Quantile of a window's openings of the mouth that counts as at rest."""
HALF_OPENING = 0.25
"""Scaled opening beyond the rest (a twentieth of the face's height) at which a speaking mouth halves a weight."""


def frame_qualities(values: NDArray[np.floating]) -> FloatArray:
    """Return the `FRAME_QUALITIES` of faces [..., Q] from the qualities [..., 7] that the face detector measured."""
    values = np.asarray(values, np.float32)
    pose = np.fmax(np.abs(values[..., face.YAW]), np.abs(values[..., face.PITCH])) / 60
    scaled = [
        np.log2(np.maximum(values[..., face.SIZE], 8) / 8) / 5,
        values[..., face.SHARPNESS] * 4,
        pose,
        values[..., face.MOUTH] * 5,
        values[..., face.SCORE],
    ]
    return np.clip(np.stack(scaled, -1), 0, 1.5).astype(np.float32)


def voice_qualities(level: float, snr: float) -> tuple[float, float]:
    """Return level and signal-to-noise ratio, scaled, from decibels."""
    return float(np.clip((level + 60) / 50, 0, 1.5)), float(np.clip(snr / 40, 0, 1.5))


def word_qualities(confidence: float, words: int) -> tuple[float, float]:
    """Return the recogniser's confidence (0 to 1; NaN for a caller's transcript) and the number of words, scaled."""
    return confidence, min(words, MAX_WORDS) / MAX_WORDS


def frame_weights(quality_NTQ: FloatArray, speech_N: FloatArray) -> FloatArray:
    """Return how much each frame's face counts in the reading of its window: [N, T], MIN_FRAME_WEIGHT to 1.

    A face that is small, blurred or turned away counts less, and so does one whose mouth is open further than in most
    frames of the window while a voice is heard: it says something. A quality that is unknown takes nothing away.

    Args:
        quality_NTQ: `FRAME_QUALITIES` of the frames; NaN if unknown, as for frames without the face.
        speech_N: share of the window that is speech; NaN without a voice.
    """
    size, sharp, pose, mouth, _ = np.moveaxis(np.asarray(quality_NTQ, np.float64), -1, 0)
    weights_NT = _ramp(size, *FULL_SIZE) * _ramp(sharp, *FULL_SHARPNESS) * _ramp(-pose, *FULL_POSE)
    rest_N1 = np.nanquantile(np.where(np.isnan(mouth).all(1, keepdims=True), 0.0, mouth), REST, axis=1, keepdims=True)
    opened_NT = np.nan_to_num(np.maximum(mouth - rest_N1, 0.0)) * np.nan_to_num(speech_N)[:, None]
    return np.maximum(weights_NT / (1 + opened_NT / HALF_OPENING), MIN_FRAME_WEIGHT).astype(np.float32)


def _ramp(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return 0 at `low` to 1 at `high`, and 1 for NaN."""
    return np.clip(np.nan_to_num((values - low) / (high - low), nan=1.0), 0.0, 1.0)

"""Qualities of what was read, scaled to about 0 to 1 for the fusion; NaN if unknown."""

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.inference.face import quality as face

MAX_WORDS = 24
"""Words of a window beyond which more of them change nothing."""


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

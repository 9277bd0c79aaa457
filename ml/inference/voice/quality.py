"""Quality of a voice: how loud it is, and how far above its background."""

from typing import Final

import numpy as np

from ml.inference.api import FloatArray
from ml.media import SAMPLE_RATE

QUALITIES: Final = ("level", "snr")
"""Columns of a quality array, in decibels: the level of the loud parts below full scale, and how far they are above the
quiet ones."""
_STEP = SAMPLE_RATE // 50
_SILENCE = 1e-5


def voice_quality(waveform: FloatArray) -> FloatArray:
    """Return the qualities of a sound [samples] in −1..1, from its energy in steps of 20 ms: [2].

    Level is the 90th percentile of the steps, the background the 10th. A sound shorter than one step is silent.
    """
    steps = waveform[: len(waveform) // _STEP * _STEP].reshape(-1, _STEP)
    decibels = 20 * np.log10(np.sqrt((steps.astype(np.float64) ** 2).mean(1)) + _SILENCE)
    quiet, loud = np.percentile(decibels, [10, 90]) if len(decibels) else (-100.0, -100.0)
    return np.array([loud, loud - quiet], np.float32)

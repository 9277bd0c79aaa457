"""Valence, arousal and dominance of readings: of faces and voices from their emotions, of words by a model.

The map from emotions is that of the norms of Warriner, Kuperman and Brysbaert (2013) for the adjectives angry,
disgusted, fearful, happy, sad, surprised and neutral: means of ratings from 1 to 9, here from −1 to 1 with 5 as 0. Two
raters of one word differ: their ratings deviate by 1.68 (valence) and 2.30 (arousal) on average, here .42 and .58.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray
from ml.results import Dimensions
from ml.vocabulary import EMOTIONS, Emotion

NORMS: dict[Emotion, tuple[float, float]] = {
    "angry": (2.53, 6.20),
    "disgust": (2.68, 4.89),
    "fear": (2.66, 5.45),
    "happy": (8.47, 6.05),
    "sad": (2.10, 3.49),
    "surprise": (6.57, 5.95),
    "neutral": (5.50, 3.45),
}
"""Mean valence and arousal, from 1 to 9, of the adjective of each emotion."""
MIDDLE, HALF_RANGE = 5.0, 4.0
_MAP_C2 = (np.array([NORMS[emotion] for emotion in EMOTIONS]) - MIDDLE) / HALF_RANGE


def of_emotions(log_probabilities: FloatArray) -> Dimensions:
    """Return the mean of the emotions' dimensions over a distribution [7]."""
    probabilities = np.exp(log_probabilities.astype(np.float64))
    return _dimensions(probabilities / probabilities.sum() @ _MAP_C2, "emotions")


def of_words(values: FloatArray | None, log_probabilities: FloatArray) -> Dimensions:
    """Return the dimensions that a text model read; without them, those of the emotions that it read."""
    return of_emotions(log_probabilities) if values is None else _dimensions(values, "words")


def combined(parts: Sequence[Dimensions]) -> Dimensions | None:
    """Return the mean of the modalities' dimensions; of one modality its own, null without any."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return _dimensions(np.mean([(part.valence, part.arousal) for part in parts], 0), "combined")


def mean(parts: Iterable[Dimensions | None], weights: NDArray[np.float64] | None = None) -> Dimensions | None:
    """Return the weighted mean of those that are known; null without any. `weights`: null for equal ones."""
    listed = list(parts)
    own = np.ones(len(listed)) if weights is None else weights
    known = [(part, weight) for part, weight in zip(listed, own, strict=True) if part is not None]
    if not known:
        return None
    rows, shares = zip(*known, strict=True)
    values = np.average([(row.valence, row.arousal) for row in rows], axis=0, weights=shares)
    sources = {row.source for row in rows}
    return _dimensions(values, sources.pop() if len(sources) == 1 else "combined")


def _dimensions(values: Sequence[float] | NDArray[np.floating], source: str) -> Dimensions:
    rounded = (round(float(value), 3) for value in values)
    named = dict(zip(("valence", "arousal", "dominance"), rounded, strict=False))
    return Dimensions.model_validate({**named, "source": source})

"""Names of Hume for what Affect reads: the nearest one of each, and none for what Affect does not read."""

from collections.abc import Iterable, Mapping
from typing import Any

from app.compat.hume.schemas import HumeScore
from ml.results import Probabilities

EMOTION_NAMES: Mapping[str, str] = {
    "angry": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "happy": "Joy",
    "sad": "Sadness",
    "surprise": "Surprise (negative)",
    "neutral": "Calmness",
}
"""Hume's name of each emotion. Affect does not distinguish pleasant from unpleasant surprise. Calmness is the nearest
name to neutral, for which Hume has none."""
SENTIMENT_LEVELS: Mapping[str, str] = {"negative": "2", "neutral": "5", "positive": "8"}
"""Level of each sentiment on Hume's scale from 1 (negative) to 9 (positive): the middle of its third."""
BURST_NAMES: Mapping[str, str] = {
    "laugh": "Laugh",
    "cry": "Cry",
    "sigh": "Sigh",
    "scream": "Scream",
    "gasp": "Gasp",
    "groan": "Groan",
    "cough": "Cough",
    "sneeze": "Sneeze",
    "sniff": "Sniff",
}
"""Hume's name of each vocal burst."""


def emotion_scores(probabilities: Probabilities) -> tuple[HumeScore, ...]:
    """Return the probabilities under Hume's names, in Hume's order, which is alphabetical."""
    scores = (HumeScore(name=EMOTION_NAMES[label], score=value) for label, value in probabilities.items())
    return tuple(sorted(scores, key=lambda score: score.name))


def sentiment_scores(sentiment: Probabilities) -> tuple[HumeScore, ...]:
    """Return the sentiment at Hume's levels."""
    return tuple(HumeScore(name=level, score=sentiment[label]) for label, level in SENTIMENT_LEVELS.items())


def mean(weighted: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float] | None:
    """Return the mean of distributions with their weights; None if there is no weight."""
    total, sums = 0.0, dict[str, Any]()
    for weight, probabilities in weighted:
        total += weight
        for label, value in probabilities.items():
            sums[label] = sums.get(label, 0.0) + weight * value
    return {label: value / total for label, value in sums.items()} if total > 0 else None

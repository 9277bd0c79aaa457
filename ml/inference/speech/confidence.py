"""Confidence of the recogniser in the words of windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ml.inference.api import TimeSpan
from ml.inference.speech.sentences import Sentence
from ml.reports.interval_index import IntervalIndex


@dataclass(frozen=True)
class _ScoredSpan:
    """Time of a sentence, in seconds, and its mean log-probability."""

    start: float
    end: float
    score: float


def word_confidences(sentences: Sequence[Sentence], windows: Sequence[TimeSpan]) -> list[float]:
    """Return the confidence in the words of each window, 0 to 1: that of its sentences, by the time that they share
    with it; NaN for a window without words."""
    spans = IntervalIndex(
        [_ScoredSpan(each.words[0].start, each.words[-1].end, each.score) for each in sentences if each.words]
    )
    return [_confidence(spans.overlapping(window.start, window.end), window) for window in windows]


def _confidence(spans: Sequence[_ScoredSpan], window: TimeSpan) -> float:
    seconds = [max(min(span.end, window.end) - max(span.start, window.start), 0.0) for span in spans]
    if not sum(seconds):
        return math.nan
    score = sum(span.score * shared for span, shared in zip(spans, seconds, strict=True)) / sum(seconds)
    return math.exp(min(score, 0.0))

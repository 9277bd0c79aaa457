"""Moments of a timeline that are worth a look: peaks and shifts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ml.results import Moment, Window
from ml.vocabulary import MODALITIES, Modality

MIN_PEAK_CONFIDENCE = 0.6
MIN_SHIFT_CONFIDENCE = 0.5


def find_moments(windows: Sequence[Window]) -> tuple[Moment, ...]:
    """Return the moments in order of time.

    At a peak one emotion other than neutral is at its highest, with at least `MIN_PEAK_CONFIDENCE`. At a shift two
    neighbouring windows have different emotions, each with at least `MIN_SHIFT_CONFIDENCE`. Times are the middle of the
    window, or the border. A moment has at least one modality that supports it.
    """
    read = [window for window in windows if window.emotion is not None]
    supported = (moment for moment in (*_peaks(read), *_shifts(read)) if moment.why)
    return tuple(sorted(supported, key=lambda moment: (moment.time, moment.kind)))


def _peaks(windows: Sequence[Window]) -> Iterator[Moment]:
    for index, window in enumerate(windows):
        emotion = window.emotion
        if emotion is None or emotion == "neutral" or window.confidence < MIN_PEAK_CONFIDENCE:
            continue
        before = windows[index - 1].probabilities[emotion] if index else 0.0
        after = windows[index + 1].probabilities[emotion] if index + 1 < len(windows) else 0.0
        if window.confidence > before and window.confidence >= after:
            yield _moment((window.start + window.end) / 2, "peak", None, window)


def _shifts(windows: Sequence[Window]) -> Iterator[Moment]:
    for left, right in pairwise(windows):
        if left.emotion != right.emotion and min(left.confidence, right.confidence) >= MIN_SHIFT_CONFIDENCE:
            yield _moment((left.end + right.start) / 2, "shift", left.emotion, right)


def _moment(time: float, kind: str, before: str | None, window: Window) -> Moment:
    return Moment.model_validate(
        {
            "time": time,
            "kind": kind,
            "from": before,
            "to": window.emotion,
            "score": window.confidence,
            "why": _agreeing_modalities(window),
        }
    )


def _agreeing_modalities(window: Window) -> tuple[Modality, ...]:
    """Return the modalities with the window's emotion as their own reading."""

    def agrees(modality: Modality) -> bool:
        reading = getattr(window.modalities, modality)
        return reading is not None and max(reading.probabilities, key=reading.probabilities.get) == window.emotion

    return tuple(modality for modality in MODALITIES if agrees(modality))

"""The places of a timeline that are worth a look: peaks and shifts."""

from collections.abc import Sequence
from itertools import pairwise

from ml.results import Moment, Window
from ml.vocabulary import MODALITIES, Modality

PEAK = 0.6
SHIFT = 0.5


def moments_of(windows: Sequence[Window]) -> tuple[Moment, ...]:
    """Moments in order of time.

    A peak is where one emotion other than neutral is at its highest, at least `PEAK`; a shift where two neighbouring
    windows name different emotions, each with at least `SHIFT`. Times are the middle of the window, or the border.
    """
    told = [window for window in windows if window.emotion is not None]
    return tuple(sorted([*_peaks(told), *_shifts(told)], key=lambda moment: (moment.time, moment.kind)))


def _peaks(windows: Sequence[Window]) -> list[Moment]:
    found = []
    for index, window in enumerate(windows):
        emotion = window.emotion
        if emotion is None or emotion == "neutral" or window.confidence < PEAK:
            continue
        before = windows[index - 1].probabilities[emotion] if index else 0.0
        after = windows[index + 1].probabilities[emotion] if index + 1 < len(windows) else 0.0
        if window.confidence > before and window.confidence >= after:
            middle = (window.start + window.end) / 2
            found.append(_moment(middle, "peak", None, window))
    return found


def _shifts(windows: Sequence[Window]) -> list[Moment]:
    return [
        _moment((left.end + right.start) / 2, "shift", left.emotion, right)
        for left, right in pairwise(windows)
        if left.emotion != right.emotion and min(left.confidence, right.confidence) >= SHIFT
    ]


def _moment(time: float, kind: str, before: str | None, window: Window) -> Moment:
    return Moment.model_validate(
        {
            "time": time,
            "kind": kind,
            "from": before,
            "to": window.emotion,
            "score": window.confidence,
            "why": _agreeing(window),
        }
    )


def _agreeing(window: Window) -> tuple[Modality, ...]:
    """The modalities whose own reading is the window's emotion."""

    def agrees(modality: Modality) -> bool:
        reading = getattr(window.modalities, modality)
        return reading is not None and max(reading.probabilities, key=reading.probabilities.get) == window.emotion

    return tuple(modality for modality in MODALITIES if agrees(modality))

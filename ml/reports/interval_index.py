"""Search of a timeline: intervals at a time, and the mean reading over an interval."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Generic, Protocol, TypeVar

from ml.results import Reading, Window


class HasInterval(Protocol):
    """Object with a start and an end, in seconds."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


T = TypeVar("T", bound=HasInterval)


class IntervalIndex(Generic[T]):
    """Objects in order of their starts, found by time with a binary search. They may overlap."""

    def __init__(self, items: Sequence[T]) -> None:
        self.items = sorted(items, key=lambda item: (item.start, item.end))
        self._starts = [item.start for item in self.items]
        self._ends = list(accumulate((item.end for item in self.items), max))

    def overlapping(self, start: float, end: float) -> list[T]:
        """Return the objects that share at least one instant with start…end."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        return [item for item in self.items[first:last] if item.end >= start]

    def nearest(self, time: float) -> T | None:
        """Return the object around the time with the nearest middle, or else a neighbour. None if empty."""
        candidates = self.overlapping(time, time)
        if not candidates:
            index = bisect_left(self._starts, time)
            candidates = self.items[max(index - 1, 0) : index + 1]
        return min(candidates, key=lambda item: abs(item.start + item.end - 2 * time), default=None)


def mean_reading(windows: IntervalIndex[Window], start: float, end: float) -> Reading | None:
    """Return the mean reading over an interval, each window weighted by the time that it shares. None without
    evidence."""
    shared = [window for window in windows.overlapping(start, end) if window.emotion is not None]
    times = [min(window.end, end) - max(window.start, start) for window in shared]
    total = sum(times)
    if not total:
        only = shared[0] if shared else None
        return Reading.from_probabilities(only.probabilities).labelled(only.labels_90) if only else None
    weights = [time / total for time in times]
    mean = Reading.from_probabilities(
        {
            label: min(sum(w.probabilities[label] * weight for w, weight in zip(shared, weights, strict=True)), 1.0)
            for label in shared[0].probabilities
        }
    )
    return mean.labelled(shared_labels(shared, weights, mean.emotion))


def shared_labels(windows: Sequence[Window], weights: Sequence[float], emotion: str | None) -> tuple[str, ...] | None:
    """Return the emotion, and the other labels of `labels_90` in windows with at least half of the weight; null if a
    window has none."""
    shares: dict[str, float] = {}
    for window, weight in zip(windows, weights, strict=True):
        if window.labels_90 is None or emotion is None:
            return None
        for label in window.labels_90:
            shares[label] = shares.get(label, 0.0) + weight
    half = sum(weights) / 2
    others = [label for label in sorted(shares, key=lambda name: -shares[name]) if shares[label] >= half]
    return (emotion, *(label for label in others if label != emotion)) if emotion else None


def without_overlap(windows: Sequence[Window]) -> list[tuple[float, float, Window]]:
    """Divide the timeline among overlapping windows: start and end (seconds) of the part that each one represents.

    A border is halfway between the end of a window and the start of the next.
    """
    if not windows:
        return []
    borders = [
        windows[0].start,
        *((left.end + right.start) / 2 for left, right in pairwise(windows)),
        windows[-1].end,
    ]
    return [(start, end, window) for (start, end), window in zip(pairwise(borders), windows, strict=True)]

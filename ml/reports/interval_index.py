"""Questions to a timeline: what lies at a time, and what is read over a stretch."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Generic, Protocol, TypeVar

from ml.results import Reading, Window


class Timed(Protocol):
    """Something that lasts. Seconds."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


T = TypeVar("T", bound=Timed)


class Axis(Generic[T]):
    """Things in order of their starts, found by time without looking at each. They may overlap."""

    def __init__(self, things: Sequence[T]) -> None:
        self.things = sorted(things, key=lambda thing: (thing.start, thing.end))
        self._starts = [thing.start for thing in self.things]
        self._ends = list(accumulate((thing.end for thing in self.things), max))

    def touching(self, start: float, end: float) -> list[T]:
        """Those that share at least one instant with start…end."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        return [thing for thing in self.things[first:last] if thing.end >= start]

    def at(self, time: float) -> T | None:
        """The one that lies around the time, its middle the nearest; else the next to it. None where there is none."""
        around = self.touching(time, time)
        if not around:
            place = bisect_left(self._starts, time)
            around = self.things[max(place - 1, 0) : place + 1]
        return min(around, key=lambda thing: abs(thing.start + thing.end - 2 * time), default=None)


def reading_over(windows: Axis[Window], start: float, end: float) -> Reading | None:
    """The mean reading of the windows over a stretch, each by the time it shares with it. None without evidence."""
    near = [window for window in windows.touching(start, end) if window.emotion is not None]
    times = [min(window.end, end) - max(window.start, start) for window in near]
    total = sum(times)
    if not total:
        return Reading.from_probabilities(near[0].probabilities) if near else None
    shares = [time / total for time in times]
    return Reading.from_probabilities(
        {
            label: min(sum(w.probabilities[label] * share for w, share in zip(near, shares, strict=True)), 1.0)
            for label in near[0].probabilities
        }
    )


def cells(windows: Sequence[Window]) -> list[tuple[float, float, Window]]:
    """The stretch that each window speaks for, where windows overlap: without overlap, over the whole timeline.

    A border lies halfway between the end of a window and the start of the next. Seconds.
    """
    if not windows:
        return []
    borders = [
        windows[0].start,
        *((left.end + right.start) / 2 for left, right in pairwise(windows)),
        windows[-1].end,
    ]
    return [(start, end, window) for (start, end), window in zip(pairwise(borders), windows, strict=True)]

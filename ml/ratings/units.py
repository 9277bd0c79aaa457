"""Units of agreement: what several raters, and the model, may have labelled.

A unit is a step of time of one person (or of the whole), one rated moment, or one rated face. In a step a rater's label
is that of the rating over its middle; of several, the one that begins last. The model's label is that of the window
whose middle is nearest.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ml.ratings.rating import Rating
from ml.results import Result, Window

MAX_FRAME_DISTANCE = 0.5
"""Maximum seconds between a rated face and the frame of the model."""


@dataclass
class RatedUnit:
    """Labels of one unit by rater, and the model's."""

    time: float
    person: int | None
    model: str | None
    labels: dict[str, str] = field(default_factory=dict)


def rated_units(result: Result, rated: Iterable[Rating], step: float, duration: float) -> list[RatedUnit]:
    """Return the units of ratings that have an emotion, up to `duration` (seconds)."""
    table = _UnitTable(_ModelLabels(result), step, duration)
    order = sorted(rated, key=lambda rating: (rating.start, -(rating.end or rating.start), rating.created_at))
    for rating in reversed(order):
        table.add(rating)
    return sorted(table.units.values(), key=lambda unit: unit.time)


class _UnitTable:
    """The units so far, by what they are. Of several ratings of a rater the first that is added counts."""

    def __init__(self, model: "_ModelLabels", step: float, duration: float) -> None:
        self.units: dict[Hashable, RatedUnit] = {}
        self._model, self._step, self._duration = model, step, duration
        self._free: defaultdict[tuple[str, int | None], _FreeNumbers] = defaultdict(_FreeNumbers)

    def add(self, rating: Rating) -> None:
        """Add the label of a rating to the units that it covers."""
        start, end, person = rating.start, rating.end, rating.person
        if rating.track is not None:
            self._label(self._face(rating.track, start, person), rating)
        elif end is None or end == start:
            self._label(self._at(("moment", person, round(start, 2)), start, person), rating)
        else:
            first, last = (math.ceil(min(edge, self._duration) / self._step - 0.5) for edge in (start, end))
            for number in self._free[rating.rater, person].take(first, last):
                self._label(self._at((number, person), (number + 0.5) * self._step, person), rating)

    def _label(self, unit: RatedUnit, rating: Rating) -> None:
        assert rating.emotion is not None
        unit.labels.setdefault(rating.rater, rating.emotion)

    def _at(self, key: Hashable, time: float, person: int | None) -> RatedUnit:
        if key not in self.units:
            self.units[key] = RatedUnit(time, person, self._model.at(time, person))
        return self.units[key]

    def _face(self, track: int, time: float, person: int | None) -> RatedUnit:
        key = "face", track, round(time, 2)
        if key not in self.units:
            owner = self._model.person_of(track) if person is None else person
            self.units[key] = RatedUnit(time, owner, self._model.face(track, time))
        return self.units[key]


class _FreeNumbers:
    """Numbers that are taken once each: thousands of overlapping ratings cost no more than their units."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}

    def take(self, first: int, last: int) -> Iterator[int]:
        """Yield the free numbers from `first` up to, but not including, `last`, and take them."""
        number = self._free_from(first)
        while number < last:
            self._next[number] = number + 1
            yield number
            number = self._free_from(number + 1)

    def _free_from(self, number: int) -> int:
        path = []
        while number in self._next:
            path.append(number)
            number = self._next[number]
        for passed in path:
            self._next[passed] = number
        return number


class _ModelLabels:
    """The labels of the model, by time and person."""

    def __init__(self, result: Result) -> None:
        self._windows: dict[int | None, Sequence[Window]] = {None: result.windows}
        self._windows.update((person.person, person.windows) for person in result.people)
        self._centers = {
            person: [(window.start + window.end) / 2 for window in windows] for person, windows in self._windows.items()
        }
        self._tracks = {track.track: track for track in result.faces}

    def at(self, time: float, person: int | None) -> str | None:
        """Return the label of the window whose middle is nearest, of those over this time; None without one."""
        windows, centers = self._windows.get(person, ()), self._centers.get(person, [])
        place = bisect_right(centers, time)
        near = [
            (abs(centers[at] - time), at)
            for at in (place - 1, place)
            if 0 <= at < len(windows) and windows[at].start <= time <= windows[at].end
        ]
        return windows[min(near)[1]].emotion if near else None

    def face(self, track: int, time: float) -> str | None:
        """Return the label of the nearest frame of a track; None if none is near."""
        frames = self._tracks[track].frames if track in self._tracks else ()
        frame = min(frames, key=lambda frame: abs(frame.time - time), default=None)
        return frame.emotion if frame is not None and abs(frame.time - time) <= MAX_FRAME_DISTANCE else None

    def person_of(self, track: int) -> int | None:
        return self._tracks[track].person if track in self._tracks else None

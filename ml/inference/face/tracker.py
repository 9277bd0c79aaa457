"""Which faces of neighbouring frames are one person's: tracks over the sampled frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ml.inference.face.assignment import cheapest_pairs
from ml.results import Box

LONGEST_GAP = 2.0
"""Seconds after which a face that comes back is a new track."""
FARTHEST = 1.0
"""Most that a face moves between two sightings, in its own widths."""
LARGEST_GROWTH = 2.0
"""Most that its width changes, as a factor."""
STEADINESS = 0.8
"""How much of its earlier velocity a face keeps: the rest is that of the last two sightings."""


@dataclass
class _Track:
    """A person's last sighting, and how many pixels a second its centre moves."""

    number: int
    box: Box
    time: float
    velocity: tuple[float, float] | None = None

    def see(self, box: Box, time: float) -> None:
        seconds = max(time - self.time, 1e-3)
        (x, y), (was_x, was_y) = _centre(box), _centre(self.box)
        moved = (x - was_x) / seconds, (y - was_y) / seconds
        before = moved if self.velocity is None else self.velocity
        self.velocity = (
            STEADINESS * before[0] + (1 - STEADINESS) * moved[0],
            STEADINESS * before[1] + (1 - STEADINESS) * moved[1],
        )
        self.box, self.time = box, time

    def expected(self, time: float) -> tuple[float, float]:
        """Where its centre would be if it went on as before: people who cross keep their tracks."""
        (x, y), (along, down) = _centre(self.box), self.velocity or (0.0, 0.0)
        return x + along * (time - self.time), y + down * (time - self.time)


class Tracker:
    """Numbers the faces of frame after frame, of a film or as they come from a camera.

    Each frame's boxes are matched with the places where the living tracks are expected, at the least total cost
    (distance of the centres and change of size, in widths of the face). Numbers start at 1, in order of first
    appearance, larger faces first; a track is at most once in a frame.
    """

    def __init__(self) -> None:
        self._alive: list[_Track] = []
        self._count = 0

    def update(self, boxes: Sequence[Box], time: float) -> list[int]:
        """The track number of each box. `time`: seconds, later than that of the frame before."""
        self._alive = [track for track in self._alive if time - track.time <= LONGEST_GAP]
        found = _match(self._alive, boxes, time)
        for index, track in found.items():
            track.see(boxes[index], time)
        for index in sorted(set(range(len(boxes))) - set(found), key=lambda index: _order(boxes[index])):
            self._count += 1
            found[index] = _Track(self._count, boxes[index], time)
            self._alive.append(found[index])
        return [found[index].number for index in range(len(boxes))]


def track_faces(frames: Sequence[Sequence[Box]], times: Sequence[float]) -> list[list[int]]:
    """The track number of each box of each frame (times in seconds, rising)."""
    tracker = Tracker()
    return [tracker.update(boxes, time) for boxes, time in zip(frames, times, strict=True)]


def main_track(frames: Sequence[Sequence[Box]], numbers: Sequence[Sequence[int]]) -> int | None:
    """The track that is largest and longest in these frames: the greatest sum of areas; null where there is no face."""
    areas: dict[int, float] = {}
    for boxes, tracks in zip(frames, numbers, strict=True):
        for box, track in zip(boxes, tracks, strict=True):
            areas[track] = areas.get(track, 0.0) + box.width * box.height
    return max(sorted(areas), key=areas.__getitem__, default=None)


def _order(box: Box) -> tuple[float, float, float]:
    return -box.width * box.height, box.x, box.y


def _match(tracks: Sequence[_Track], boxes: Sequence[Box], time: float) -> dict[int, _Track]:
    """The track of each box that has one, by the box's index."""
    if not tracks or not boxes:
        return {}
    impossible = 1e6
    order = sorted(
        range(len(boxes)), key=lambda index: _order(boxes[index])
    )  # ties fall alike, however they are listed
    costs = [[min(_cost(track, boxes[index], time), impossible) for index in order] for track in tracks]
    return {order[column]: tracks[row] for row, column in cheapest_pairs(costs) if costs[row][column] < impossible}


def _cost(track: _Track, box: Box, time: float) -> float:
    """How far from where it is expected, in mean widths, plus the change of size; infinite where it cannot be one face.

    A face that stops is near its last place, one that goes on near the expected: either will do.
    """
    width = (track.box.width + box.width) / 2
    growth = max(track.box.width, box.width) / max(min(track.box.width, box.width), 1e-9)
    expected, stayed = (
        math.dist(place, _centre(box)) / max(width, 1e-9) for place in (track.expected(time), _centre(track.box))
    )
    if min(expected, stayed) > FARTHEST or growth > LARGEST_GROWTH:
        return math.inf
    return expected + math.log(growth)


def _centre(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2

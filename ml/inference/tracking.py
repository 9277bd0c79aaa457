"""Which faces of neighbouring frames are one person's: tracks over the sampled frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ml.results import Box

LONGEST_GAP = 2.0
"""Seconds after which a face that comes back is a new track."""
FARTHEST = 1.0
"""Most that a face moves between two sightings, in its own widths."""
LARGEST_GROWTH = 2.0
"""Most that its width changes, as a factor."""


@dataclass
class _Track:
    number: int
    box: Box
    time: float


def track_faces(frames: Sequence[Sequence[Box]], times: Sequence[float]) -> list[list[int]]:
    """The track number of each box of each frame (times in seconds, rising).

    Each frame's boxes are matched with the latest ones of the tracks that are still alive, at the least total cost
    (distance of the centres and change of size, in widths of the face). Numbers start at 1, in order of first
    appearance, larger faces first; a track is at most once in a frame.
    """
    tracks: list[_Track] = []
    numbers: list[list[int]] = []
    for boxes, time in zip(frames, times, strict=True):
        alive = [track for track in tracks if time - track.time <= LONGEST_GAP]
        found = _match(alive, boxes)
        for index in sorted(range(len(boxes)), key=lambda index: _order(boxes[index])):
            if index not in found:
                found[index] = _Track(len(tracks) + 1, boxes[index], time)
                tracks.append(found[index])
            found[index].box, found[index].time = boxes[index], time
        numbers.append([found[index].number for index in range(len(boxes))])
    return numbers


def main_track(frames: Sequence[Sequence[Box]], numbers: Sequence[Sequence[int]]) -> int | None:
    """The track that is largest and longest in these frames: the greatest sum of areas; null where there is no face."""
    areas: dict[int, float] = {}
    for boxes, tracks in zip(frames, numbers, strict=True):
        for box, track in zip(boxes, tracks, strict=True):
            areas[track] = areas.get(track, 0.0) + box.width * box.height
    return max(sorted(areas), key=areas.__getitem__, default=None)


def _order(box: Box) -> tuple[float, float, float]:
    return -box.width * box.height, box.x, box.y


def _match(tracks: Sequence[_Track], boxes: Sequence[Box]) -> dict[int, _Track]:
    """The track of each box that has one, by the box's index."""
    if not tracks or not boxes:
        return {}
    impossible = 1e6
    costs = np.array([[_cost(track.box, box) for box in boxes] for track in tracks])
    rows, columns = linear_sum_assignment(np.where(np.isfinite(costs), costs, impossible))
    pairs = zip(rows, columns, strict=True)
    return {int(column): tracks[row] for row, column in pairs if np.isfinite(costs[row, column])}


def _cost(a: Box, b: Box) -> float:
    """Distance of the centres in mean widths, plus the change of size; infinite where it cannot be one face."""
    width = (a.width + b.width) / 2
    growth = max(a.width, b.width) / max(min(a.width, b.width), 1e-9)
    distance = np.hypot(a.x + a.width / 2 - b.x - b.width / 2, a.y + a.height / 2 - b.y - b.height / 2) / width
    if distance > FARTHEST or growth > LARGEST_GROWTH:
        return float("inf")
    return float(distance + np.log(growth))

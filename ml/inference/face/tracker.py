"""Face tracking over sampled frames: which faces of consecutive frames are the same person's."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ml.inference.runtime.assignment import linear_sum_assignment
from ml.results import Box

MAX_GAP_SECONDS = 2.0
"""Seconds after which a face that comes back gets a new track."""
MAX_MOVE_WIDTHS = 1.0
"""Maximum movement of a face between two observations, in its own widths."""
MAX_SIZE_RATIO = 2.0
"""Maximum change of its width between two observations, as a factor."""
VELOCITY_SMOOTHING = 0.8
"""Weight of a face's former velocity against the velocity over the last two observations."""
_NO_MATCH_COST = 1e6


@dataclass
class _TrackState:
    """Last observation of a person's face. `velocity`: of its centre, in pixels per second."""

    number: int
    box: Box
    time: float
    velocity: tuple[float, float] | None = None

    def update(self, box: Box, time: float) -> None:
        seconds = max(time - self.time, 1e-3)
        (x, y), (last_x, last_y) = _centre(box), _centre(self.box)
        moved = (x - last_x) / seconds, (y - last_y) / seconds
        former = moved if self.velocity is None else self.velocity
        self.velocity = (
            VELOCITY_SMOOTHING * former[0] + (1 - VELOCITY_SMOOTHING) * moved[0],
            VELOCITY_SMOOTHING * former[1] + (1 - VELOCITY_SMOOTHING) * moved[1],
        )
        self.box, self.time = box, time

    def predicted_centre(self, time: float) -> tuple[float, float]:
        """Return the centre at `time` if the face keeps its velocity, so that people who cross keep their tracks."""
        (x, y), (along, down) = _centre(self.box), self.velocity or (0.0, 0.0)
        return x + along * (time - self.time), y + down * (time - self.time)


class Tracker:
    """Numbers the faces of one frame after the other, of a recording or of a live stream.

    The boxes of each frame are matched with the predicted places of the current tracks at the least total cost
    (distance of the centres and change of size, in widths of the face). Numbers start at 1, in order of first
    appearance, larger faces first; a track appears at most once in a frame.
    """

    def __init__(self) -> None:
        self._tracks: list[_TrackState] = []
        self._count = 0

    def begin_shot(self) -> None:
        """End all tracks: the next frame shows another scene."""
        self._tracks = []

    def update(self, boxes: Sequence[Box], time: float) -> list[int]:
        """Return the track number of each box. `time`: seconds, later than that of the frame before."""
        self._tracks = [track for track in self._tracks if time - track.time <= MAX_GAP_SECONDS]
        matched = _match(self._tracks, boxes, time)
        for index, track in matched.items():
            track.update(boxes[index], time)
        for index in sorted(set(range(len(boxes))) - set(matched), key=lambda index: _size_order(boxes[index])):
            self._count += 1
            matched[index] = _TrackState(self._count, boxes[index], time)
            self._tracks.append(matched[index])
        return [matched[index].number for index in range(len(boxes))]


def track_faces(
    frames: Sequence[Sequence[Box]], times: Sequence[float], shot_starts: Collection[float] = ()
) -> list[list[int]]:
    """Return the track number of each box of each frame (times in seconds, ascending).

    `shot_starts`: times of frames that show another scene than the one before; tracks end there.
    """
    tracker, starts = Tracker(), set(shot_starts)
    numbers = []
    for boxes, time in zip(frames, times, strict=True):
        if time in starts:
            tracker.begin_shot()
        numbers.append(tracker.update(boxes, time))
    return numbers


def main_track(
    frames: Sequence[Sequence[Box]], numbers: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
) -> int | None:
    """Return the track with the greatest sum of areas times `scores` of the detector over these frames (large, long and
    clearly seen); None without faces."""
    weights = track_weights(frames, numbers, scores)
    return max(sorted(weights), key=weights.__getitem__, default=None)


def track_weights(
    frames: Sequence[Sequence[Box]], numbers: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
) -> dict[int, float]:
    """Return for each number the sum of areas times `scores` of the detector of its boxes over these frames."""
    weights: dict[int, float] = {}
    for boxes, tracks, of_frame in zip(frames, numbers, scores, strict=True):
        for box, track, score in zip(boxes, tracks, of_frame, strict=True):
            weights[track] = weights.get(track, 0.0) + box.width * box.height * score
    return weights


def _size_order(box: Box) -> tuple[float, float, float]:
    return -box.width * box.height, box.x, box.y


def _match(tracks: Sequence[_TrackState], boxes: Sequence[Box], time: float) -> dict[int, _TrackState]:
    """Return the track of each box that has one, by the box's index."""
    if not tracks or not boxes:
        return {}
    # In order of size, so that ties are broken alike, however the boxes are listed.
    order = sorted(range(len(boxes)), key=lambda index: _size_order(boxes[index]))
    costs = [[min(_cost(track, boxes[index], time), _NO_MATCH_COST) for index in order] for track in tracks]
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return {order[column]: tracks[row] for row, column in pairs if costs[row][column] < _NO_MATCH_COST}


def _cost(track: _TrackState, box: Box, time: float) -> float:
    """Return the distance from the predicted centre, in mean widths, plus the log of the change of size.

    Infinite if it cannot be one face: too far from both the predicted centre and the last one (a face may stop), or of
    another size.
    """
    width = (track.box.width + box.width) / 2
    ratio = max(track.box.width, box.width) / max(min(track.box.width, box.width), 1e-9)
    predicted, stayed = (
        math.dist(place, _centre(box)) / max(width, 1e-9)
        for place in (track.predicted_centre(time), _centre(track.box))
    )
    if min(predicted, stayed) > MAX_MOVE_WIDTHS or ratio > MAX_SIZE_RATIO:
        return math.inf
    return predicted + math.log(ratio)


def _centre(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2

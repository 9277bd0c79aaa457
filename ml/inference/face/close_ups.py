"""Close-ups of boxes that may show a face, in which the mesh is placed, upright or turned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from ml.inference.face.backends.base import CloseUpReading, FaceBackend, Image, Mesh
from ml.inference.face.boxes import Rectangle
from ml.inference.face.turns import TURNS, turn_image, unturn_points

CLOSE_UP_SCALE = 1.7
"""Side of the close-up that is searched for the mesh, in sides of the detector's box."""
MIN_CLOSE_UP_SIDE, MAX_CLOSE_UP_SIDE = 192, 512
"""Bounds of the side of a close-up, in pixels."""
UPRIGHT_SCORE = 0.8
"""Score of the near detector below which a face may be upside down or lie on its side."""
UPRIGHT_TILT = 35.0
"""Degrees that the eyes lean beyond which a face may lie on its side: the detector does not know larger angles."""
TURN_GAIN = 0.1
"""Minimum gain of score for which a face is taken to be turned."""


@dataclass(frozen=True)
class CloseUp:
    """Square around a box, as an image that is turned by quarter turns counter-clockwise.

    `corner`: top left of the square in the picture; `side`: its side there. Pixels.
    """

    image: Image
    corner: tuple[int, int]
    side: int
    turn: int = 0

    @classmethod
    def around(cls, image_HWC: Image, box: Rectangle, turn: int = 0) -> Self:
        """Return the close-up of a box of a picture; beyond the edge of the picture its edge repeats."""
        x, y, width, height = box
        wide = max(width, height) * CLOSE_UP_SCALE
        left, top = (round(centre - wide / 2) for centre in (x + width / 2, y + height / 2))
        side = max(round(wide), 1)
        square = _square(image_HWC, left, top, side, max(side, MIN_CLOSE_UP_SIDE))
        if side > MAX_CLOSE_UP_SIDE:
            square = np.asarray(cv2.resize(square, (MAX_CLOSE_UP_SIDE,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
        return cls(turn_image(square, turn), (left, top), side, turn)

    def turned(self, turn: int) -> Self:
        """Return the close-up with another turn."""
        return replace(self, image=turn_image(self.image, (turn - self.turn) % 4), turn=turn)

    def to_image(self, mesh: Mesh) -> Mesh:
        """Convert a mesh in fractions of the close-up to pixels of the picture."""
        points = unturn_points(mesh, self.turn)
        return np.asarray(points * self.side + np.array([*self.corner, 0], np.float32))


def best_turns(
    backend: FaceBackend, close_ups: Sequence[CloseUp], readings: Sequence[CloseUpReading | None]
) -> tuple[list[CloseUp], list[CloseUpReading | None]]:
    """Return the close-ups with the turn in which their faces are upright, and their readings.

    `readings`: of the close-ups as they are. Only those that leave it in doubt are tried in the other turns.
    """
    best = list(zip(close_ups, readings, strict=True))
    doubtful = [row for row, reading in enumerate(readings) if not _is_upright(reading)]
    tries = [(row, close_ups[row].turned(turn)) for row in doubtful for turn in TURNS if turn != close_ups[row].turn]
    answers = backend.landmarks([close_up.image for _, close_up in tries])
    for (row, close_up), answer in zip(tries, answers, strict=True):
        current = best[row][1]
        gain = TURN_GAIN if current is not None and current.mesh is not None and best[row][0].turn == 0 else 0.0
        if answer is not None and answer.mesh is not None and _mesh_score(answer) > _mesh_score(current) + gain:
            best[row] = close_up, answer
    return [close_up for close_up, _ in best], [reading for _, reading in best]


def _is_upright(reading: CloseUpReading | None) -> bool:
    return reading is not None and reading.score >= UPRIGHT_SCORE and abs(reading.tilt) <= UPRIGHT_TILT


def _mesh_score(reading: CloseUpReading | None) -> float:
    return reading.score if reading is not None and reading.mesh is not None else 0.0


def _square(image_HWC: Image, left: int, top: int, side: int, target: int) -> Image:
    """Return the square at a corner of the picture, at `target` pixels."""
    scale = side / target
    matrix = np.array([[1 / scale, 0, -left / scale], [0, 1 / scale, -top / scale]])
    return np.asarray(cv2.warpAffine(image_HWC, matrix, (target, target), borderMode=cv2.BORDER_REPLICATE), np.uint8)

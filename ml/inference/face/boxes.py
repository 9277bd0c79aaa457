"""Rectangles of faces, and which of them show one face."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
"""x, y, width, height."""

SAME_FACE_IOU = 0.4
"""Intersection over union from which two boxes are taken for one face."""
SAME_FACE_CONTAINMENT = 0.6
"""Share of the smaller box inside the larger one from which the two are taken for one face: the detectors frame a face
with different margins."""


@dataclass(frozen=True)
class FoundBox:
    """Box of a detector with its score. `is_sure`: whether the score reaches the detector's own minimum."""

    box: Rectangle
    score: float
    is_sure: bool


def iou(a: Rectangle, b: Rectangle) -> float:
    """Return the intersection over union of two boxes."""
    common = _common_area(a, b)
    return common / (a[2] * a[3] + b[2] * b[3] - common) if common else 0.0


def containment(a: Rectangle, b: Rectangle) -> float:
    """Return the share of the smaller box that is inside the larger one."""
    common = _common_area(a, b)
    return common / min(a[2] * a[3], b[2] * b[3]) if common else 0.0


def is_same_face(a: Rectangle, b: Rectangle) -> bool:
    """Return whether two boxes are taken for one face."""
    return iou(a, b) >= SAME_FACE_IOU or containment(a, b) >= SAME_FACE_CONTAINMENT


def overlaps_any(box: Rectangle, others: Iterable[Rectangle]) -> bool:
    """Return whether a box shows the same face as one of the others."""
    return any(is_same_face(box, other) for other in others)


def distinct_boxes(found: Sequence[FoundBox], min_side: float) -> list[FoundBox]:
    """Return one box per face, that of the highest score, the largest first; boxes below `min_side` are dropped."""
    kept: list[FoundBox] = []
    for each in sorted(found, key=lambda each: (-each.score, each.box)):
        if min(each.box[2:]) >= min_side and not overlaps_any(each.box, (other.box for other in kept)):
            kept.append(each)
    return sorted(kept, key=lambda each: size_order(each.box))


def size_order(box: Rectangle) -> tuple[float, Rectangle]:
    """Return the key that sorts boxes by size, largest first."""
    return -box[2] * box[3], box


def bounding_box(points: NDArray[np.float32]) -> Rectangle:
    """Return the box around points [N, 2 or 3]."""
    (left, top), (right, bottom) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
    return left, top, right - left, bottom - top


def square_around(box: Rectangle) -> Rectangle:
    """Return the square with the same middle and area."""
    x, y, width, height = box
    side = (width * height) ** 0.5
    return x + (width - side) / 2, y + (height - side) / 2, side, side


def _common_area(a: Rectangle, b: Rectangle) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)

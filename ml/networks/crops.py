"""Face crops: one code for training and serving.

The framing is that of FER2013, measured by laying the mesh over enlarged pictures of it: the face from hairline to chin
fills nine tenths of the height, its middle a little below that of the crop, the eyes level.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

LANDMARKS = 468
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Mesh points at the corners of the eyes; right and left are the person's own."""

FACE_HEIGHT = 0.9
FACE_MIDDLE = 0.528


def align_crop(image_HWC: Image, landmarks: Points, size: int) -> Image:
    """A grey square crop [size, size] of the face whose mesh points ([468, 2 or 3], pixels) are given, eyes level."""
    points = landmarks[:, :2].astype(np.float64)
    across = points[list(LEFT_EYE)].mean(0) - points[list(RIGHT_EYE)].mean(0)
    angle = np.arctan2(across[1], across[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = points @ turn.T
    low, high = level.min(0), level.max(0)
    side = max((high[1] - low[1]) / FACE_HEIGHT, (high[0] - low[0]), 1.0)
    centre = (low + high) / 2 - [0.0, (FACE_MIDDLE - 0.5) * side]
    return _cut(image_HWC, turn, centre - side / 2, side, size)


def normalize_landmarks(landmarks: Points | None) -> Points:
    """Mesh points ([468, 3], pixels) with the eyes level, their middle at 0, the face 1 high; zeros where there is no
    mesh. What a face is like stays; where it is, how large and how turned does not."""
    if landmarks is None:
        return np.zeros((LANDMARKS, 3), np.float32)
    points = landmarks.astype(np.float64)
    right, left = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    level = (points - (right + left) / 2) @ turn.T
    height = max(float(np.ptp(level[:, 1])), 1e-6)
    return np.asarray(level / height, np.float32)


def resized(crop_HW: Image, size: int) -> Image:
    """A crop made elsewhere as a square of `size` pixels."""
    shrinks = min(crop_HW.shape[:2]) > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop_HW, (size, size), interpolation=how), np.uint8)


def box_crop(image_HWC: Image, box: tuple[float, float, float, float], size: int) -> Image:
    """The same framing from a detector's box (x, y, width, height in pixels), which spans brows to chin."""
    x, y, width, height = box
    side = max(width, height) * 1.2
    corner = np.array([x + width / 2 - side / 2, y + height - side * 0.98])
    return _cut(image_HWC, np.eye(2), corner, side, size)


def _cut(image_HWC: Image, turn: NDArray[np.float64], corner: NDArray[np.float64], side: float, size: int) -> Image:
    """The square at `corner` of the turned picture, grey, averaged down to `size`; beyond the edge, the edge."""
    times = max(1, int(np.ceil(side / size)))
    fine = size * times
    scale = fine / side
    matrix = np.hstack([turn * scale, (0.5 * scale - 0.5 - corner * scale)[:, None]])
    patch = cv2.warpAffine(image_HWC, matrix, (fine, fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA), np.uint8)

"""Face crops, the same for training and serving.

The framing is that of FER2013, measured with the mesh on enlarged images of it: the face from hairline to chin fills
nine tenths of the height, its middle is a little below that of the crop, and the eyes are level.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]

LANDMARKS = 468
"""Number of points of a mesh."""
RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Indices of the mesh points at the corners of the eyes; right and left as the person sees them."""

FACE_HEIGHT = 0.9
"""Height of the face, in heights of the crop."""
FACE_MIDDLE = 0.528
"""Vertical position of the middle of the face, in heights of the crop."""


def align_crop(image_HWC: Image, landmarks: Points, size: int) -> Image:
    """Return a grey square crop [size, size] of the face with these mesh points [468, 2 or 3] (pixels), eyes level."""
    rotation, corner, side = _framing(landmarks)
    return _square_crop(image_HWC, rotation, corner, side, size)


def points_in_crop(landmarks: Points, size: int) -> NDArray[np.float64]:
    """Return where mesh points [468, 2 or 3] (pixels) are in the crop that `align_crop` cuts: [468, 2]."""
    rotation, corner, side = _framing(landmarks)
    return np.asarray((landmarks[:, :2].astype(np.float64) @ rotation.T - corner) * (size / side))


def _framing(landmarks: Points) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the rotation that levels the eyes, and the corner and the side of the square around the level face."""
    points = landmarks[:, :2].astype(np.float64)
    across = points[list(LEFT_EYE)].mean(0) - points[list(RIGHT_EYE)].mean(0)
    angle = np.arctan2(across[1], across[0])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    level = points @ rotation.T
    low, high = level.min(0), level.max(0)
    side = max((high[1] - low[1]) / FACE_HEIGHT, (high[0] - low[0]), 1.0)
    centre = (low + high) / 2 - [0.0, (FACE_MIDDLE - 0.5) * side]
    return rotation, centre - side / 2, side


def normalize_landmarks(landmarks: Points | None) -> Points:
    """Return mesh points [468, 3] (pixels) with the eyes level, their middle at 0 and the face 1 high; zeros for None.

    The shape of a face stays; its place, size and rotation in the image do not.
    """
    if landmarks is None:
        return np.zeros((LANDMARKS, 3), np.float32)
    points = landmarks.astype(np.float64)
    right, left = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    angle = np.arctan2(left[1] - right[1], left[0] - right[0])
    rotation = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    level = (points - (right + left) / 2) @ rotation.T
    height = max(float(np.ptp(level[:, 1])), 1e-6)
    return np.asarray(level / height, np.float32)


def resize_crop(crop_HW: Image, size: int) -> Image:
    """Return a crop that was made elsewhere as a square of `size` pixels."""
    interpolation = cv2.INTER_AREA if min(crop_HW.shape[:2]) > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop_HW, (size, size), interpolation=interpolation), np.uint8)


def box_crop(image_HWC: Image, box: tuple[float, float, float, float], size: int) -> Image:
    """Return a crop with the same framing from a detector's box (x, y, width, height; pixels), from brows to chin."""
    x, y, width, height = box
    side = max(width, height) * 1.2
    corner = np.array([x + width / 2 - side / 2, y + height - side * 0.98])
    return _square_crop(image_HWC, np.eye(2), corner, side, size)


def _square_crop(
    image_HWC: Image, rotation: NDArray[np.float64], corner: NDArray[np.float64], side: float, size: int
) -> Image:
    """Return the square at `corner` of the rotated image, grey, averaged down to `size`; beyond the edge it repeats."""
    fine = size * max(1, int(np.ceil(side / size)))
    scale = fine / side
    matrix = np.hstack([rotation * scale, (0.5 * scale - 0.5 - corner * scale)[:, None]])
    square = cv2.warpAffine(image_HWC, matrix, (fine, fine), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA), np.uint8)

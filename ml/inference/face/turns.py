"""Quarter turns of pictures, and the way back of what was found in a turned one.

A turn of n means n quarter turns counter-clockwise. Boxes and points are fractions of the picture's sides.
"""

import numpy as np
from numpy.typing import NDArray

from ml.inference.face.boxes import Rectangle

Image = NDArray[np.uint8]
TURNS = (0, 2, 1, 3)
"""All turns, in the order in which they are tried."""


def turn_image(image_HWC: Image, turn: int) -> Image:
    """Return the picture turned."""
    return np.ascontiguousarray(np.rot90(image_HWC, turn)) if turn else image_HWC


def unturn_box(box: Rectangle, turn: int) -> Rectangle:
    """Return the box in the picture as it was before the turn."""
    for _ in range(turn):
        x, y, width, height = box
        box = 1 - y - height, x, height, width
    return box


def unturn_points(points_P3: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return points in a square picture as it was before the turn; depths stay."""
    for _ in range(turn):
        points_P3 = np.column_stack([1 - points_P3[:, 1], points_P3[:, 0], points_P3[:, 2]])
    return np.asarray(points_P3, np.float32)

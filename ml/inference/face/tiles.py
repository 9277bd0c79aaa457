"""Parts of a picture that are searched by themselves, because the detectors see whole pictures at 192 pixels."""

import math
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from ml.inference.face.backends.base import Image
from ml.inference.face.boxes import Rectangle

SEARCH_SIDE = 192
"""Pixels of the longer side at which the far detector sees a picture or a tile of it."""
MIN_TILE_SIDE = 300
"""Minimum side of a tile, in pixels: in a smaller one only faces too small to be read would be found in addition."""
TILES_DOWN = (1.8, 3.4)
"""For each level of the pyramid below the whole picture, the picture's short side in sides of a tile: two and four rows
of tiles that overlap by a fifth."""
MAX_LEVELS = len(TILES_DOWN)
MIN_TILED_WIDTH, MIN_TILED_HEIGHT = 2 * SEARCH_SIDE, 96
"""Minimum longer and shorter side of a picture that is searched in tiles, in pixels: a smaller one is seen whole, and a
narrow strip would need hundreds of tiles."""
_MIN_OVERLAP = 0.15
"""Minimum overlap of neighbouring tiles, in sides of a tile."""
_MAX_SINGLE_ROW = 1.25
"""Short side of the picture, in sides of a tile, up to which one row of tiles of that height is enough."""


_DETAIL_SIDE, MIN_DETAIL = 96, 8
"""Side at which a tile is looked at for detail, and minimum difference of neighbouring grey values (0 to 255) there.
Below it the tile shows a wall, a sky or a blank page; faces of 20 pixels in daylight have 27 and more."""


@dataclass(frozen=True)
class Tile:
    """Part of a picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def within(cls, left: int, top: int, width: int, height: int) -> Self:
        """Return the part without the last rows and columns that would not survive halving, fewer than twenty."""
        step = 2 ** _halvings(width, height)
        return cls(left, top, max(width - width % step, 1), max(height - height % step, 1))

    def cut(self, image_HWC: Image) -> Image:
        """Return the part of the picture, halved until its longer side is below twice SEARCH_SIDE.

        The detectors take single pixels of a larger picture. Halving is a twentieth of the work of other shrinking.
        """
        part = image_HWC[self.top : self.top + self.height, self.left : self.left + self.width]
        for _ in range(_halvings(self.width, self.height)):
            size = max(part.shape[1] // 2, 1), max(part.shape[0] // 2, 1)
            part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        return np.ascontiguousarray(part)

    def has_detail(self, image_HWC: Image) -> bool:
        """Return whether the part of the picture shows more than smooth areas: otherwise no face is in it."""
        grey = cv2.cvtColor(self.cut(image_HWC), cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, (_DETAIL_SIDE,) * 2, interpolation=cv2.INTER_AREA)
        across, down = cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])
        return bool(max(across.max(), down.max()) >= MIN_DETAIL)

    def to_image(self, box: Rectangle) -> Rectangle:
        """Convert a box in fractions of the tile to pixels of the picture."""
        x, y, width, height = box
        return x * self.width + self.left, y * self.height + self.top, width * self.width, height * self.height


def whole_picture(image_HWC: Image) -> Tile:
    """Return the tile that is the whole picture."""
    height, width = image_HWC.shape[:2]
    return Tile.within(0, 0, width, height)


def tiles(width: int, height: int, levels: int) -> list[Tile]:
    """Return the tiles of the first `levels` levels of the pyramid for a picture of this size."""
    short, found = min(width, height), list[Tile]()
    if max(width, height) < MIN_TILED_WIDTH or short < MIN_TILED_HEIGHT:
        return found
    for level, down in enumerate(TILES_DOWN[:levels]):
        side = round(short / down)
        if side < MIN_TILE_SIDE and level == 0:
            side = MIN_TILE_SIDE
        if short <= side * _MAX_SINGLE_ROW:
            side = short
        if side < min(MIN_TILE_SIDE, short) or side >= max(width, height):
            break
        found += [Tile.within(left, top, side, side) for top in _starts(height, side) for left in _starts(width, side)]
    return found


def _halvings(width: int, height: int) -> int:
    return max(int(math.log2(max(width, height) / SEARCH_SIDE)), 0)


def _starts(length: int, side: int) -> list[int]:
    """Return where the tiles along a side of the picture start."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - _MIN_OVERLAP)) - 1e-9) + 1
    return [round(number * (length - side) / (count - 1)) for number in range(count)]

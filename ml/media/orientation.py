"""How to turn a stored image upright: EXIF orientation of photos, display matrix of videos."""

import math
import re
from dataclasses import dataclass
from typing import Self

_CELL = re.compile(r"-?\d+")
_FILTERS = {0: (), 90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}


@dataclass(frozen=True)
class Orientation:
    """Transformation to upright: mirror left to right if `mirrored`, then rotate clockwise by `rotation` degrees (0,
    90, 180, 270)."""

    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def from_exif(cls, value: int) -> Self:
        """Convert a value of the tag Orientation (0x0112) of EXIF 2.32; an unknown value is upright."""
        rotation, mirrored = {
            2: (0, True),
            3: (180, False),
            4: (180, True),
            5: (270, True),
            6: (90, False),
            7: (90, True),
            8: (270, False),
        }.get(value, (0, False))
        return cls(rotation, mirrored)

    @classmethod
    def from_display_matrix(cls, text: str) -> Self:
        """Convert the matrix of ISO/IEC 14496-12 as ffprobe prints it: three rows, each after its number and a colon.

        An image point (x, y) is shown at (a·x + c·y, b·x + d·y), y downwards. An oblique angle is rounded to the
        nearest right angle; a degenerate matrix is upright.
        """
        cells = [int(cell) for row in text.strip().splitlines() for cell in _CELL.findall(row.partition(":")[2])]
        if len(cells) != 9:
            return cls()
        a, b, _, c, d, *_ = cells
        determinant = a * d - b * c
        if determinant == 0:
            return cls()
        mirrored = determinant < 0
        if mirrored:
            a, b = -a, -b
        return cls(round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90, mirrored)

    @property
    def filters(self) -> tuple[str, ...]:
        """ffmpeg filters that turn the image upright."""
        return (("hflip",) if self.mirrored else ()) + _FILTERS[self.rotation]

    def upright_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height after the rotation. Applied twice it gives the original size."""
        return (height, width) if self.rotation in (90, 270) else (width, height)


UPRIGHT = Orientation()

"""How a stored picture is turned to stand upright: EXIF orientation of photos, display matrix of films."""

import math
import re
from dataclasses import dataclass
from typing import Self

_CELL = re.compile(r"-?\d+")
_FILTERS = {0: (), 90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}


@dataclass(frozen=True)
class Orientation:
    """Mirror left to right where `mirrored`, then turn clockwise by `rotation` degrees (0, 90, 180, 270)."""

    rotation: int = 0
    mirrored: bool = False

    @classmethod
    def of_exif(cls, value: int) -> Self:
        """From the tag Orientation (0x0112) of EXIF 2.32; an unknown value is upright."""
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
    def of_display_matrix(cls, text: str) -> Self:
        """From the matrix of ISO/IEC 14496-12 as ffprobe prints it: three rows, each after its number and a colon.

        A picture point (x, y) is shown at (a·x + c·y, b·x + d·y), y downwards. An oblique angle counts as the nearest
        right one; a degenerate matrix is upright.
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
        """ffmpeg's filters that make the picture upright."""
        return (("hflip",) if self.mirrored else ()) + _FILTERS[self.rotation]

    def upright(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after turning (and, as turning twice shows, before: it is its own inverse)."""
        return (height, width) if self.rotation in (90, 270) else (width, height)


UPRIGHT = Orientation()

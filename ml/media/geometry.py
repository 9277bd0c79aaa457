"""The size at which a frame or image is analysed, and its way from the stored pixels to the displayed ones."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from ml.media.orientation import Orientation

MAX_ANALYSIS_SIDE = 3840
"""Pixels; maximum longer side of an analysed frame or image: small faces in 4K are read from its own pixels."""


DEINTERLACE = ("estdif=frame:auto:interlaced",)
"""ffmpeg filters that fill in the lines of a frame's second field, which shows a later moment, from those of the first:
moving edges would be combs. No frame depends on its neighbours, so a frame by itself is the same."""
FLATTEN = ("format=gbrap", "negate", "premultiply=15:1", "negate")
"""ffmpeg filters that lay a frame with transparency on white, as viewers show it: what is transparent, such as a person
who was erased, is neither read nor drawn. They precede scaling, which would mix hidden colours into the edges."""
MAX_PIXEL_ASPECT = 10
"""Maximum ratio of the sides of a stored pixel; a larger one is an error of the header."""


def displayed_size(width: int, height: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return the size with square pixels of a frame whose pixels are `pixel_aspect` times as wide as high. One side
    grows, as in browsers."""
    if not Fraction(1, MAX_PIXEL_ASPECT) <= pixel_aspect <= MAX_PIXEL_ASPECT:
        return width, height
    if pixel_aspect >= 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


@dataclass(frozen=True)
class Geometry:
    """Size of an upright image: `width`×`height` pixels, each of them `scale` displayed original pixels wide."""

    width: int
    height: int
    scale: float
    orientation: Orientation

    @classmethod
    def fit(cls, width: int, height: int, orientation: Orientation, max_side: int) -> Self:
        """Return the upright size, shrunk until the longer side is at most `max_side`; never enlarged."""
        scale = max(1.0, max(width, height) / max_side)
        return cls(max(1, round(width / scale)), max(1, round(height / scale)), scale, orientation)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (height, width, 3)."""
        return self.height, self.width, 3

    @property
    def filters(self) -> tuple[str, ...]:
        """ffmpeg filters from the stored image to the analysed RGB one. They scale before they rotate: less work."""
        width, height = self.orientation.upright_size(self.width, self.height)
        scale = f"scale={width}:{height}:flags=bilinear+full_chroma_int"
        return (scale, "format=rgb24", *self.orientation.filters)

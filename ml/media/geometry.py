"""The size in which a picture is analysed."""

from dataclasses import dataclass
from typing import Self

from ml.media.orientation import Orientation

ANALYSIS_SIDE = 1280
"""Longest side of an analysed picture, in pixels."""


@dataclass(frozen=True)
class Geometry:
    """An upright picture of `width`×`height` pixels, each of them `scale` original pixels wide."""

    width: int
    height: int
    scale: float
    orientation: Orientation

    @classmethod
    def fit(cls, width: int, height: int, orientation: Orientation, max_side: int) -> Self:
        """Shrinks the upright picture until its longer side is `max_side`; never enlarges it."""
        scale = max(1.0, max(width, height) / max_side)
        return cls(max(1, round(width / scale)), max(1, round(height / scale)), scale, orientation)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array: height, width, channel."""
        return self.height, self.width, 3

    @property
    def filters(self) -> tuple[str, ...]:
        """ffmpeg's filters from the stored picture to the analysed one, RGB. Shrunk before turned: it is less work."""
        width, height = self.orientation.upright(self.width, self.height)
        scale = f"scale={width}:{height}:flags=bilinear+full_chroma_int"
        return (scale, "format=rgb24", *self.orientation.filters)

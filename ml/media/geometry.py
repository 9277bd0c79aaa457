"""The size at which a frame or image is analysed."""

from dataclasses import dataclass
from typing import Self

from ml.media.orientation import Orientation

MAX_ANALYSIS_SIDE = 1280
"""Pixels; maximum longer side of an analysed frame or image."""


@dataclass(frozen=True)
class Geometry:
    """Size of an upright image: `width`×`height` pixels, each of them `scale` original pixels wide."""

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

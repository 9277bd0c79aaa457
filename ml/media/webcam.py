"""Pictures of a live stream: small JPEGs, many a second.

They are decoded in this process, by Pillow: a child for each would cost more than the analysis. Size and format are
checked in the header before anything is decoded; a worker of live streams holds nothing but streams.
"""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ml.errors import FrameTooLarge, MediaInvalid
from ml.media.image import Picture

MOST_PIXELS = 1920 * 1080
LIVE_SIDE = 640
"""Longest side of an analysed picture, in pixels."""


def read_jpeg(payload: bytes) -> Picture:
    """RGB, its longer side at most twice `LIVE_SIDE`. Raises MediaInvalid, FrameTooLarge."""
    try:
        with Image.open(io.BytesIO(payload), formats=["JPEG"]) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise _too_large()
            image.draft("RGB", _drafted(width, height))
            pixels = np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError as error:  # Pillow's own bound, which it looks at before it tells the size
        raise _too_large() from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MediaInvalid("A live picture cannot be decoded.", stage="decode") from error
    return Picture(pixels, width / pixels.shape[1], damaged=False)


def _too_large() -> FrameTooLarge:
    return FrameTooLarge(f"A live picture has more than {MOST_PIXELS} pixels.", stage="decode")


def _drafted(width: int, height: int) -> tuple[int, int]:
    """The least size that the decoder may shrink to as it decodes: it halves, which is nearly free."""
    scale = min(1.0, LIVE_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))

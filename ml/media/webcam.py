"""Decoding of a live stream's frames: small JPEGs, many per second.

Pillow decodes them in this process: a child process for each would cost more than the analysis. Size and format are
checked in the header before anything is decoded, and a live worker holds nothing but streams.
"""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ml.errors import FrameTooLarge, MediaInvalid
from ml.media.image import DecodedImage

MAX_PIXELS = 1920 * 1080
"""Maximum pixels of a frame."""
MAX_LIVE_SIDE = 640
"""Pixels; longer side to which a larger frame is shrunk for analysis."""


def read_jpeg(payload: bytes) -> DecodedImage:
    """Decode to RGB, the longer side at most twice `MAX_LIVE_SIDE`. Raises MediaInvalid, FrameTooLarge."""
    try:
        with Image.open(io.BytesIO(payload), formats=["JPEG"]) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise _too_large()
            image.draft("RGB", _draft_size(width, height))
            pixels = np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError as error:  # Pillow's own limit, checked before the size is known
        raise _too_large() from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MediaInvalid("A live frame cannot be decoded.", stage="decode") from error
    return DecodedImage(pixels, width / pixels.shape[1], damaged=False)


def _too_large() -> FrameTooLarge:
    return FrameTooLarge(f"A live frame has more than {MAX_PIXELS} pixels.", stage="decode")


def _draft_size(width: int, height: int) -> tuple[int, int]:
    """Return the minimum size to which the decoder may shrink while decoding: it halves, which is nearly free."""
    scale = min(1.0, MAX_LIVE_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))

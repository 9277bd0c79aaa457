"""Images → arrays.

ffmpeg's decoders and Pillow's read images in a child process: none of their faults can harm a worker that holds the
models, and an image is under the same limits as a video.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml.errors import AffectError, MediaInvalid
from ml.media.ffprobe import TOO_MANY_PIXELS, padded_pixels
from ml.media.geometry import MAX_ANALYSIS_SIDE, Geometry
from ml.media.image_headers import first_webp_frame, read_image_header
from ml.media.image_worker_client import ImageRequest, image_worker
from ml.media.limits import MediaLimits, too_many_pixels
from ml.media.probe import MediaInfo
from ml.media.sandbox import CancelCheck, never_cancelled

_DECODERS = {
    "jpeg": "mjpeg",
    "png": "png",
    "webp": "webp",
    "bmp": "bmp",
    "gif": "gif",
    "heif": "heif",
    "avif": "avif",
    "tiff": "tiff",
}
"""Name that `ml.media.image_worker` has for the decoder of a format."""
_MIN_DECODED_SHARE = 0.1
"""Minimum share of a damaged image that must be decoded for it to be accepted."""


class DecodedImage(NamedTuple):
    """An upright image: uint8 RGB [height, width, 3]. `scale`: original pixels per pixel; `damaged`: whether the
    decoder met errors."""

    image: npt.NDArray[np.uint8]
    scale: float
    damaged: bool


def load_image(
    path: Path,
    info: MediaInfo,
    limits: MediaLimits,
    max_side: int = MAX_ANALYSIS_SIDE,
    check: CancelCheck = never_cancelled,
) -> DecodedImage:
    """Decode an image, turned upright and shrunk until its longer side is at most `max_side` pixels.

    Of several images in one file (WebP, AVIF, HEIF, TIFF) the first or primary one is decoded. A JPEG of which at least
    a tenth can be decoded is `damaged`, with one colour in place of the rest; other formats are decoded completely or
    not at all.

    Raises (with stage `decode`) MediaInvalid, FrameTooLarge, ProcessingTimeout, and whatever `check` raises.
    """
    assert info.width is not None and info.height is not None
    geometry = Geometry.fit(info.width, info.height, info.orientation, max_side)
    image = np.empty(geometry.shape, np.uint8)
    try:
        with _still_file(path, info) as still, image_worker(limits) as worker:
            request = ImageRequest(str(still), _DECODERS[info.format], geometry.filters, padded_pixels(limits))
            complete, errors = worker.decode(request, image.data.cast("B"), check, lambda: limits.probe_seconds)
            damaged = bool(errors.strip())
            cut = damaged or not read_image_header(path, info.format).has_end_marker
            if not complete or (cut and _is_almost_empty(image)):
                if TOO_MANY_PIXELS in errors:
                    raise too_many_pixels(limits)
                raise MediaInvalid("The image cannot be decoded. It seems damaged or incomplete.")
    except AffectError as error:
        error.stage = error.stage or "decode"
        raise
    return DecodedImage(image, geometry.scale, damaged)


def _is_almost_empty(image: npt.NDArray[np.uint8]) -> bool:
    """Return whether more than nine tenths have one colour, which the decoder gives to what is missing."""
    commonest = np.median(image, axis=(0, 1))
    return bool((image == commonest).all(axis=2).mean() > 1 - _MIN_DECODED_SHARE)


@contextmanager
def _still_file(path: Path, info: MediaInfo) -> Iterator[Path]:
    """Provide the file itself, or a file with the first frame of an animated WebP: libav decodes only stills."""
    still = first_webp_frame(path) if info.format == "webp" else None
    if still is None:
        yield path.absolute()
        return
    with tempfile.NamedTemporaryFile(prefix="affect-", suffix=".webp") as copy:
        copy.write(still)
        copy.flush()
        yield Path(copy.name)

"""Pictures → arrays.

The decoders of ffmpeg read these too, in a child process: no fault of theirs can harm a worker that holds the models,
and a picture is under the same limits as a film.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml.errors import AffectError, MediaInvalid
from ml.media.geometry import ANALYSIS_SIDE, Geometry
from ml.media.image_headers import first_webp_picture, read_picture_header
from ml.media.image_worker_client import Request, picture_child
from ml.media.limits import MediaLimits
from ml.media.probe import TOO_MANY_PIXELS, MediaInfo, padded_pixels, too_many_pixels
from ml.media.sandbox import Check, unchecked

_DECODERS = {"jpeg": "mjpeg", "png": "png", "webp": "webp"}
_LEAST_SHARE = 0.1
"""A damaged picture is read when at least this much of it could be decoded."""


class Picture(NamedTuple):
    """A picture, upright: uint8 RGB [height, width, 3]; original pixels per pixel; whether the decoder met errors."""

    image: npt.NDArray[np.uint8]
    scale: float
    damaged: bool


def load_image(
    path: Path, info: MediaInfo, limits: MediaLimits, max_side: int = ANALYSIS_SIDE, check: Check = unchecked
) -> Picture:
    """Reads a JPEG, PNG or WebP picture, turned upright and shrunk until its longer side is at most `max_side` pixels.

    Of an animated WebP it is the first picture. A JPEG of which a part can be decoded (a tenth at least) is `damaged`,
    with one colour where the rest would be; of PNG and WebP it is all or nothing.

    Raises (with stage `decode`) MediaInvalid, FrameTooLarge, ProcessingTimeout, and whatever `check` raises.
    """
    assert info.width is not None and info.height is not None
    geometry = Geometry.fit(info.width, info.height, info.orientation, max_side)
    image = np.empty(geometry.shape, np.uint8)
    try:
        with _still(path, info) as still, picture_child(limits) as child:
            request = Request(str(still), _DECODERS[info.format], geometry.filters, padded_pixels(limits))
            complete, errors = child.decode(request, image.data.cast("B"), check, lambda: limits.probe_seconds)
            damaged = bool(errors.strip())
            cut = damaged or not read_picture_header(path, info.format).ended
            if not complete or (cut and _hardly_begun(image)):
                if TOO_MANY_PIXELS in errors:
                    raise too_many_pixels(limits)
                raise MediaInvalid("The picture cannot be decoded.")
    except AffectError as error:
        error.stage = error.stage or "decode"
        raise
    return Picture(image, geometry.scale, damaged)


def _hardly_begun(image: npt.NDArray[np.uint8]) -> bool:
    """Whether less than a tenth is anything but the one colour that the decoder gives to what is missing."""
    commonest = np.median(image, axis=(0, 1))
    return bool((image == commonest).all(axis=2).mean() > 1 - _LEAST_SHARE)


@contextmanager
def _still(path: Path, info: MediaInfo) -> Iterator[Path]:
    """The file itself, or the first picture of an animated WebP as a file of its own: libav reads stills alone."""
    still = first_webp_picture(path) if info.format == "webp" else None
    if still is None:
        yield path.absolute()
        return
    with tempfile.NamedTemporaryFile(prefix="affect-", suffix=".webp") as copy:
        copy.write(still)
        copy.flush()
        yield Path(copy.name)

"""Pictures → arrays.

ffmpeg decodes these too, in a child process. That costs some 30 ms more a picture than a library in our own process
would; for it, no fault of such a library can harm a worker that holds the models, and a picture is under the same
limits as a film.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import ffmpeg
import numpy as np
import numpy.typing as npt

from ml.errors import AffectError, MediaInvalid
from ml.media.child import Allowance, Check, Child, unchecked
from ml.media.formats import FORMATS
from ml.media.geometry import ANALYSIS_SIDE, Geometry
from ml.media.headers import first_webp_picture, read_picture_header
from ml.media.limits import MediaLimits
from ml.media.probe import TOO_MANY_PIXELS, MediaInfo, padded_pixels, reading_options, too_many_pixels

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
        with tempfile.TemporaryDirectory(prefix="affect-") as folder:
            with Child(
                _command(_still(path, info, Path(folder)), info, geometry, limits),
                cwd=Path(folder),
                allowance=Allowance(limits.child_memory, limits.child_cpu_seconds),
                check=check,
                patience=lambda: limits.probe_seconds,
            ) as child:
                complete = child.read_into(image.data.cast("B")) == image.nbytes
                status = child.wait()
        damaged = status != 0 or bool(child.errors.strip())
        cut = damaged or not read_picture_header(path, info.format).ended
        if not complete or (cut and _hardly_begun(image)):
            if TOO_MANY_PIXELS in child.errors:
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


def _still(path: Path, info: MediaInfo, folder: Path) -> Path:
    """The file itself, or the first picture of an animated WebP as a file of its own: ffmpeg reads stills alone."""
    still = first_webp_picture(path) if info.format == "webp" else None
    if still is None:
        return path
    copy = folder / "first.webp"
    copy.write_bytes(still)
    return copy


def _command(path: Path, info: MediaInfo, geometry: Geometry, limits: MediaLimits) -> list[str]:
    source = ffmpeg.input(
        f"file:{path.absolute()}",
        format=FORMATS[info.format].demuxers[0],  # forced: `image2` would read the name as a pattern
        max_pixels=padded_pixels(limits),
        threads=1,
        noautorotate=None,
        **reading_options(info.format),
    )
    output = source.output("pipe:1", format="rawvideo", map="0:v:0", vf=",".join(geometry.filters), **{"frames:v": 1})
    return [str(word) for word in output.global_args("-nostdin", "-v", "error", "-filter_threads", "1").compile()]

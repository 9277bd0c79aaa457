"""Pictures, frames and sound of labelled files, decoded as in serving."""

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import MediaInvalid
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, Frame, MediaLimits, probe
from ml.training.datasets.example import Example

LIMITS = MediaLimits()


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return RGB [height, width, 3]. Raises MediaInvalid.

    Data sets are trusted, unlike uploads: the picture is decoded in this process.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise MediaInvalid("The picture cannot be read.")
    return np.asarray(image, np.uint8)


def read_frame(example: Example) -> NDArray[np.uint8] | None:
    """Return a frame from the middle of a video; None if the file has no video. Raises AffectError."""
    frame = next(iter(frames_over(example, 1)), None)
    return None if frame is None else frame.image


def frames_over(example: Example, count: int) -> Iterator[Frame]:
    """Yield frames at `count` times spread over a video or its piece; none if it has no video. Raises AffectError."""
    assert example.path
    _require(example.path)
    info = probe(example.path, LIMITS)
    if not info.has_video:
        return
    start, end = example.start or 0.0, example.end or info.duration or 1.0
    times = [start + (end - start) * (place + 0.5) / count for place in range(count)]
    with tempfile.TemporaryDirectory(prefix="affect-") as scratch:
        for time in times:
            request = DecodeRequest(2.0, audio=False, start=time, end=end)
            with Decoder(example.path, info, request, limits=LIMITS, scratch=Path(scratch)) as decoder:
                yield from islice(decoder.frames(), 1)


def read_waveform(example: Example) -> NDArray[np.float32]:
    """Return the sound of the file, or of its piece, at 16 kHz, mono, in −1..1. Raises AffectError."""
    assert example.path
    _require(example.path)
    info = probe(example.path, LIMITS)
    if not info.has_audio:
        raise MediaInvalid("There is no sound in the file.")
    with (
        tempfile.TemporaryDirectory(prefix="affect-") as scratch,
        Decoder(example.path, info, DecodeRequest(None, audio=True), limits=LIMITS, scratch=Path(scratch)) as decoder,
    ):
        pcm = decoder.pcm()
        first = round((example.start or 0.0) * SAMPLE_RATE)
        last = len(pcm) if example.end is None else round(example.end * SAMPLE_RATE)
        return np.asarray(pcm[first:last] / 32768, np.float32)


def _require(path: Path) -> None:
    if not path.is_file():
        raise MediaInvalid("There is no such file.")

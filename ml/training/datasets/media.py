"""Pictures, frames and sound of labelled files, decoded as in serving."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import MediaInvalid
from ml.media import SAMPLE_RATE, Decoder, DecodeRequest, MediaLimits, probe
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
    assert example.path
    _require(example.path)
    info = probe(example.path, LIMITS)
    if not info.has_video:
        return None
    start, end = example.start or 0.0, example.end or info.duration or 1.0
    with tempfile.TemporaryDirectory(prefix="affect-") as scratch:
        decoder = Decoder(
            example.path,
            info,
            DecodeRequest(2.0, audio=False, start=(start + end) / 2, end=end),
            limits=LIMITS,
            scratch=Path(scratch),
        )
        with decoder:
            frame = next(decoder.frames(), None)
            return None if frame is None else frame.image


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

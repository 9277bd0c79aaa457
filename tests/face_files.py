"""Makes videos of a real face for the tests of every room: the portrait of Grace Hopper (US Navy, public domain) that
comes with matplotlib."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.media import SAMPLE_RATE
from tests.media_files import FAST, VIDEO_CODECS, ffmpeg
from tests.speech_files import Sound

Image = NDArray[np.uint8]
FPS = 10


@cache
def portrait() -> Image:
    """RGB [300, 256, 3]; the face is about 98 pixels wide, its left edge at 85, its top at 73."""
    cbook = pytest.importorskip("matplotlib.cbook")
    cv2 = pytest.importorskip("cv2")
    image = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return np.ascontiguousarray(cv2.resize(image, (256, 300), interpolation=cv2.INTER_AREA)[..., ::-1])


def nobody() -> Image:
    """A grey wall of the same size."""
    return np.full((300, 256, 3), 120, np.uint8)


def two_people() -> Image:
    """The portrait and its mirror image, side by side: [300, 512, 3]."""
    return np.concatenate([portrait(), portrait()[:, ::-1]], axis=1)


def near_and_far_people() -> Image:
    """The portrait, and on its right the mirror image at three quarters of its size: [300, 512, 3]."""
    cv2 = pytest.importorskip("cv2")
    far = nobody()
    far[75:, :192] = cv2.resize(portrait()[:, ::-1], (192, 225), interpolation=cv2.INTER_AREA)
    return np.concatenate([portrait(), far], axis=1)


def make_scenes(path: Path, scenes: Sequence[tuple[Image, float]], sound: Sound | None = None) -> Path:
    """A video that shows each image for some seconds, 10 frames a second. `sound`: 16 kHz mono; null leaves it out."""
    height, width = scenes[0][0].shape[:2]
    frames = b"".join(image.tobytes() * round(seconds * FPS) for image, seconds in scenes)
    video, audio = VIDEO_CODECS[path.suffix]
    picture = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0"]
    codecs = ["-c:v", video, *FAST[video], "-pix_fmt", "yuv420p", "-c:a", audio]
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:
        heard = []
        if sound is not None:
            file.write(sound.tobytes())
            file.flush()
            heard = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", file.name]
        ffmpeg(*picture, *heard, *codecs, path, data=frames)
    return path

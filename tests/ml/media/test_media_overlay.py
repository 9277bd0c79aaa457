"""A video with images drawn over it: its geometry and what its transparency hides."""

import subprocess
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ml.media import MediaLimits, probe
from ml.media.overlay import Canvas, OverlayRequest, film_rate, image_times, overlay
from tests.media_files import ffmpeg, make_hidden, make_video

LIMITS = MediaLimits()


def drawn(path: Path, target: Path) -> np.ndarray:
    """The first frame of the video under empty images."""
    info = probe(path, LIMITS)
    assert info.width is not None and info.height is not None
    canvas = Canvas.for_size(info.width, info.height)
    empty = np.zeros((canvas.height, canvas.width, 4), np.uint8)
    overlay(OverlayRequest(path, info, (), target, canvas, 5.0, 1.0, LIMITS), [empty] * 5)
    made = probe(target, LIMITS)
    assert (made.width, made.height) == (canvas.width, canvas.height)
    command = ["ffmpeg", "-v", "error", "-i", target, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(pixels, np.uint8).reshape(canvas.height, canvas.width, 3)


def test_overlay_transparent_pixels_are_white(tmp_path: Path) -> None:
    for name, codec in (("a.mov", ("-c:v", "qtrle")), ("a.webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"))):
        frame = drawn(make_hidden(tmp_path / name, *codec, seconds=1.0), tmp_path / f"{name}.mp4")
        middle = frame.shape[1] // 2
        assert frame[:, : middle - 16].min() > 235
        assert frame[:, middle + 16 :, 0].max() < 60


def test_overlay_has_the_displayed_aspect(tmp_path: Path) -> None:
    shaped = tmp_path / "shaped.mp4"
    ffmpeg("-i", make_video(tmp_path / "film.mp4", 1.0, size=(480, 400), audio=False), "-vf", "setsar=2/1", shaped)
    frame = drawn(shaped, tmp_path / "out.mp4")
    assert frame.shape == (400, 960, 3)


@pytest.mark.parametrize(
    ("mean", "base", "late", "rate"),
    [
        (30.0, 30.0, 0.0, None),
        (29.7, 30.0, 0.2, None),
        (0.2, 1 / 3, 0.0, 10.0),
        (8.0, 8.0, 0.0, 16.0),
        (12.0, 60.0, 0.0, 30.0),
        (25.0, 25.0, 4.0, 25.0),
        (None, None, 0.0, 10.0),
    ],
)
def test_film_rate_repeats_frames_where_they_are_too_few(
    tmp_path: Path, mean: float | None, base: float | None, late: float, rate: float | None
) -> None:
    info = probe(make_video(tmp_path / "a.mp4", 0.2, audio=False), LIMITS)
    info = replace(info, frame_rate=mean, base_frame_rate=base, picture_start=late)
    assert film_rate(info) == (None if rate is None else pytest.approx(rate))


def test_image_times_leave_out_gaps(tmp_path: Path) -> None:
    info = replace(probe(make_video(tmp_path / "a.mp4", 0.2, audio=False), LIMITS), gaps=((2.0, 300.0),))
    assert list(islice(image_times(info, 2.0), 7)) == [0.0, 0.5, 1.0, 1.5, 2.0, 300.0, 300.5]

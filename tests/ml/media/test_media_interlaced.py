"""Frames of two fields: a bar as high as the frame runs so fast that each field shows it elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.media import Decoder, DecodeRequest, MediaInfo, MediaLimits, probe
from ml.media.overlay import Canvas, OverlayRequest, overlay
from tests.media_files import ffmpeg

LIMITS = MediaLimits()
BAR = "color=black:s=160x96:r=50[wall];color=white:s=40x96:r=50[bar];[wall][bar]overlay=x='mod(n*7,120)':shortest=1"
INTERLACED = {
    "mpeg2.ts": ["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "4M"],
    "h264.mts": ["-c:v", "libx264", "-x264-params", "tff=1"],
}


def combs(path: Path, info: MediaInfo, scratch: Path) -> list[float]:
    """Return the mean difference of neighbouring lines in each frame."""
    with Decoder(path, info, DecodeRequest(4.0, audio=False), limits=LIMITS, scratch=scratch) as decoder:
        images = [frame.image.astype(np.int16) for frame in decoder.frames()]
    return [float(np.abs(np.diff(image, axis=0)).mean()) for image in images]


def make_interlaced(folder: Path, name: str) -> Path:
    """One second of 25 frames, of 50 moments."""
    path = folder / name
    ffmpeg("-filter_complex", f"{BAR},tinterlace=interleave_top", "-t", "1", *INTERLACED[name], "-f", "mpegts", path)
    return path


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_frames_have_no_combs(tmp_path: Path, name: str) -> None:
    path = make_interlaced(tmp_path, name)
    info = probe(path, LIMITS)
    assert info.is_interlaced
    as_coded, found = combs(path, replace(info, is_interlaced=False), tmp_path), combs(path, info, tmp_path)
    assert len(found) == len(as_coded) == 4 and max(found) < 2.0 < max(as_coded) / 2


def test_progressive_frames_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg("-filter_complex", BAR, "-t", "1", "-c:v", "libx264", path)
    info = probe(path, LIMITS)
    assert not info.is_interlaced and len(combs(path, info, tmp_path)) == 4


def test_overlay_draws_interlaced_frames_without_combs(tmp_path: Path) -> None:
    path, target = make_interlaced(tmp_path, "h264.mts"), tmp_path / "drawn.mp4"
    info = probe(path, LIMITS)
    canvas = Canvas.for_size(160, 96)
    empty = np.zeros((canvas.height, canvas.width, 4), np.uint8)
    overlay(OverlayRequest(path, info, (), target, canvas, 5.0, 1.0, LIMITS), [empty] * 5)
    as_coded = combs(path, replace(info, is_interlaced=False), tmp_path)
    assert max(combs(target, probe(target, LIMITS), tmp_path)) < max(as_coded) / 2

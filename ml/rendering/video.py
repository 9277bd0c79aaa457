"""Annotated videos and photos: the result drawn over the media."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.media import MediaInfo, MediaLimits, load_image
from ml.media.overlay import MAX_SIDE, Canvas, OverlayRequest, overlay
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.overlay_layer import OverlayPainter
from ml.results import Result

OVERLAY_RATE = 15.0
"""Maximum overlay images per second; frames in between show the last one."""


def annotate_video(
    path: Path,
    info: MediaInfo,
    result: Result,
    target: Path,
    limits: MediaLimits | None = None,
    check: CancelCheck = never_cancelled,
) -> None:
    """Draw a result over its video: MP4 (H.264, AAC) with every frame and the audio at their times.

    `target` is in a folder of its own. Raises MediaInvalid, ProcessingTimeout, and whatever `check` raises.
    """
    canvas = _canvas(info)
    duration = result.media.duration or info.duration or 0.0
    rate = min(info.frame_rate or OVERLAY_RATE, OVERLAY_RATE)
    request = OverlayRequest(path, info, target, canvas, rate, duration, limits or MediaLimits())
    overlay(request, _overlay_images(OverlayPainter(result, canvas), rate), check)


def annotate_image(
    path: Path,
    info: MediaInfo,
    result: Result,
    limits: MediaLimits | None = None,
    check: CancelCheck = never_cancelled,
) -> Image.Image:
    """Draw a result over its photo, in RGB. Raises what `load_image` raises."""
    canvas = _canvas(info)
    pixels = load_image(path, info, limits or MediaLimits(), MAX_SIDE, check).image
    photo = Image.fromarray(pixels).resize((canvas.width, canvas.height), Image.Resampling.BICUBIC).convert("RGBA")
    return Image.alpha_composite(photo, Image.fromarray(OverlayPainter(result, canvas).at(0.0))).convert("RGB")


def _canvas(info: MediaInfo) -> Canvas:
    assert info.width is not None and info.height is not None
    return Canvas.for_size(info.width, info.height)


def _overlay_images(painter: OverlayPainter, rate: float) -> Iterator[NDArray[np.uint8]]:
    """Yield images without end: the video itself ends."""
    return (painter.at(index / rate) for index in count())

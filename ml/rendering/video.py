"""Annotated films and pictures: what was read, drawn over what was seen."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.media import MediaInfo, MediaLimits, load_image
from ml.media.overlay import MAX_SIDE, Canvas, OverlayRequest, overlay
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.overlay_layer import Layer
from ml.results import Result

LAYER_RATE = 15.0
"""Layers a second at most; the frames between them show the last one."""


def annotate_film(
    path: Path,
    info: MediaInfo,
    result: Result,
    target: Path,
    limits: MediaLimits | None = None,
    check: CancelCheck = never_cancelled,
) -> None:
    """Draws the result of the film at `path` over it: MP4 (H.264, AAC), every frame and the sound where they were.

    `target` lies in a folder of its own. Raises MediaInvalid, ProcessingTimeout, and whatever `check` raises.
    """
    canvas = _canvas(info)
    duration = result.media.duration or info.duration or 0.0
    rate = min(info.frame_rate or LAYER_RATE, LAYER_RATE)
    request = OverlayRequest(path, info, target, canvas, rate, duration, limits or MediaLimits())
    overlay(request, _layers(Layer(result, canvas), rate), check)


def annotate_picture(
    path: Path, info: MediaInfo, result: Result, limits: MediaLimits | None = None, check: CancelCheck = never_cancelled
) -> Image.Image:
    """Draws the result of the photo at `path` over it: RGB. Raises what `load_image` does."""
    canvas = _canvas(info)
    picture = load_image(path, info, limits or MediaLimits(), MAX_SIDE, check).image
    photo = Image.fromarray(picture).resize((canvas.width, canvas.height), Image.Resampling.BICUBIC).convert("RGBA")
    return Image.alpha_composite(photo, Image.fromarray(Layer(result, canvas).at(0.0))).convert("RGB")


def _canvas(info: MediaInfo) -> Canvas:
    assert info.width is not None and info.height is not None
    return Canvas.for_size(info.width, info.height)


def _layers(layer: Layer, rate: float) -> Iterator[NDArray[np.uint8]]:
    """Without end: the film itself ends."""
    return (layer.at(index / rate) for index in count())

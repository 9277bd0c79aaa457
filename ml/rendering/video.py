"""Annotated videos and photos: the result drawn over the media."""

from pathlib import Path

from PIL import Image

from ml.media import MediaInfo, MediaLimits, load_image
from ml.media.ffmpeg import MAX_CHANNELS
from ml.media.overlay import MAX_SIDE, Canvas, OverlayRequest, film_rate, image_times, overlay
from ml.media.sandbox import CancelCheck, never_cancelled
from ml.rendering.overlay_layer import OverlayPainter
from ml.results import Result

OVERLAY_RATE, MAX_OVERLAY_RATE = 15.0, 20.0
"""Overlay images per second: as many as frames up to a maximum, else fewer; frames in between show the last one."""


def annotate_video(
    path: Path,
    info: MediaInfo,
    result: Result,
    target: Path,
    limits: MediaLimits | None = None,
    check: CancelCheck = never_cancelled,
    track: int | None = None,
) -> None:
    """Draw a result over its video: MP4 (H.264, AAC) as long as the media, with frames and audio at their times.

    `target` is in a folder of its own. `track`: number of the audio track; null for a mix of all. Raises MediaInvalid,
    ProcessingTimeout, and whatever `check` raises.
    """
    canvas = _canvas(info)
    duration = result.media.duration or info.duration or 0.0
    frame_rate = film_rate(info) or info.frame_rate or OVERLAY_RATE
    rate = frame_rate if frame_rate <= MAX_OVERLAY_RATE else OVERLAY_RATE
    all_tracks = info.audio_tracks[:MAX_CHANNELS]
    tracks = all_tracks if track is None else info.audio_tracks[track : track + 1] or all_tracks
    request = OverlayRequest(path, info, tracks, target, canvas, rate, duration, limits or MediaLimits())
    painter = OverlayPainter(result, canvas)
    overlay(request, map(painter.at, image_times(info, rate)), check)


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

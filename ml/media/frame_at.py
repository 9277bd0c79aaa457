"""Single frames of a video at the times at which they were analysed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ml.media.decoder import Decoder, DecodeRequest, Frame
from ml.media.geometry import MAX_ANALYSIS_SIDE
from ml.media.image import load_image
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo
from ml.media.sandbox import CancelCheck, never_cancelled


def frame_scale(info: MediaInfo) -> float:
    """Return the original pixels per pixel of a frame that `frames_at` yields."""
    return max(1.0, max(info.width or 1, info.height or 1) / MAX_ANALYSIS_SIDE)


def frames_at(
    path: Path,
    info: MediaInfo,
    times: Iterable[float],
    *,
    frame_rate: float,
    scratch: Path,
    limits: MediaLimits | None = None,
    check: CancelCheck = never_cancelled,
) -> Iterator[Frame]:
    """Yield the frames that `Decoder` gave at these times (seconds) with this `frame_rate`, in the order of `times`.

    For a photo, yield the photo. A frame that cannot be decoded by itself is left out. Raises ProcessingTimeout, and
    whatever `check` raises.
    """
    limits = limits or MediaLimits()
    for time in times:
        if info.kind == "image":
            yield Frame(0, 0.0, load_image(path, info, limits, check=check).image)
            continue
        half = 0.25 / frame_rate  # either side of one point of the grid
        request = DecodeRequest(frame_rate, audio=False, start=max(time - half, 0.0), end=time + half)
        with Decoder(path, info, request, limits=limits, scratch=scratch, check=check) as decoder:
            yield from decoder.frames()

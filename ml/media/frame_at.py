"""Single frames of a film, found again by the time at which they were analysed."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ml.media.decoder import Decoder, Frame
from ml.media.geometry import ANALYSIS_SIDE
from ml.media.image import load_image
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo
from ml.media.sandbox import Check, unchecked


def still_scale(info: MediaInfo) -> float:
    """Original pixels per pixel of a still."""
    return max(1.0, max(info.width or 1, info.height or 1) / ANALYSIS_SIDE)


def stills(
    path: Path,
    info: MediaInfo,
    times: Iterable[float],
    *,
    frame_rate: float,
    scratch: Path,
    limits: MediaLimits | None = None,
    check: Check = unchecked,
) -> Iterator[Frame]:
    """The frames that `Decoder` gave at these times (seconds) with this `frame_rate`, in their order; of a photo, the
    photo. A frame that cannot be decoded by itself is left out. Raises ProcessingTimeout, and what `check` raises."""
    limits = limits or MediaLimits()
    for time in times:
        if info.kind == "image":
            yield Frame(0, 0.0, load_image(path, info, limits, check=check).image)
            continue
        half = 0.25 / frame_rate  # either side of one place of the grid
        with Decoder(
            path,
            info,
            frame_rate=frame_rate,
            want_audio=False,
            limits=limits,
            scratch=scratch,
            check=check,
            start=max(time - half, 0.0),
            end=time + half,
        ) as decoder:
            yield from decoder.frames()

"""A video with images drawn over it: one ffmpeg child decodes, overlays and encodes; the images come through a pipe."""

import errno
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fcntl import F_SETPIPE_SZ, fcntl
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from ml.errors import MediaInvalid
from ml.media.ffmpeg import MAX_JUMP_SECONDS
from ml.media.ffprobe import padded_pixels, reading_options
from ml.media.geometry import DEINTERLACE, FLATTEN
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo, alpha_options
from ml.media.sandbox import PIPE_BYTES, CancelCheck, ResourceLimits, SandboxedProcess, never_cancelled
from ml.media.time_stamps import grid_ranges
from ml.media.tracks import AudioTrack

MIN_SIDE, MAX_SIDE = 640, 1280
"""Pixels; bounds of the longer side of an annotated video: text must be legible, work bounded."""
VIDEO_BITRATE, AUDIO_BITRATE = 6_000_000, 160_000
"""Maximum bits per second."""

MIN_FILM_RATE, MAX_FILM_RATE = 10.0, 30.0
"""Frames per second of a film whose frames are repeated, so that what is drawn moves where the picture stands still."""
MAX_RATE_RATIO = 1.5
"""Ratio of the base frame rate to the mean one from which a video has pauses between frames."""
MAX_LATE_SECONDS = 1.0
"""Seconds by which a picture may begin late; a later one is shown from the start."""

_TICKS = 90_000
_HEAD_BYTES = 64 * 2**20
_MIN_PACE = 0.02
"""Minimum seconds of video encoded per second of waiting."""

OverlayImage = NDArray[np.uint8]
"""uint8 RGBA [height, width, 4]."""


@dataclass(frozen=True)
class Canvas:
    """Size of an annotated video or image: even sides. `scale`: its pixels per original pixel."""

    width: int
    height: int
    scale: float

    @classmethod
    def for_size(cls, width: int, height: int) -> Self:
        """Return the canvas for an upright frame of this size (pixels)."""
        longer = max(width, height)
        scale = min(max(longer, MIN_SIDE), MAX_SIDE) / longer
        even_width, even_height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        return cls(even_width, even_height, scale)


@dataclass(frozen=True)
class OverlayRequest:
    """A video to draw over, and how.

    Attributes:
        path, info: the video, and the result of `probe` for it.
        tracks: audio tracks of the film, mixed if there are several.
        target: MP4 file to write, in a folder of its own, where ffmpeg works.
        canvas: size of the output.
        rate: overlay images per second.
        duration: seconds of the film; the last frame stays until then.
        limits: bounds on the child process.
    """

    path: Path
    info: MediaInfo
    tracks: tuple[AudioTrack, ...]
    target: Path
    canvas: Canvas
    rate: float
    duration: float
    limits: MediaLimits


def overlay(request: OverlayRequest, images: Iterable[OverlayImage], check: CancelCheck = never_cancelled) -> None:
    """Write a video (MP4: H.264, AAC) with images drawn over it.

    Every frame keeps its time, even if the frame rate varies, and the audio stays in sync. Frames that are too few for
    what is drawn to move are repeated (`film_rate`). `images` are of the canvas's size, at the times of `image_times`;
    each is shown until the next, and the video ends if they do. They are taken one by one: memory does not grow with
    length. The original's metadata is left out.

    Raises MediaInvalid if the video cannot be made, ProcessingTimeout, and whatever `check` raises.
    """
    reading, writing = os.pipe()
    try:
        for end in (reading, writing):
            with suppress(OSError):
                fcntl(end, F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(writing, False)
        child = _start(request, reading, check)
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    with child:
        try:
            for image in images:
                if not child.write_to_pipe(writing, image.data.cast("B")):
                    break
        finally:
            os.close(writing)
        status = child.wait()
        errors = child.errors
    if os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, "no space left for the annotated video")
    if status != 0 or not request.target.exists():
        raise MediaInvalid("The annotated video could not be made.")


def _start(request: OverlayRequest, pipe: int, check: CancelCheck) -> SandboxedProcess:
    limits, duration = request.limits, request.duration
    return SandboxedProcess(
        _command(request, f"pipe:{pipe}"),
        cwd=request.target.parent,
        resources=ResourceLimits(
            memory=limits.child_memory,
            cpu_seconds=limits.child_cpu_seconds,
            file_bytes=_HEAD_BYTES + round(2 * duration * (VIDEO_BITRATE + AUDIO_BITRATE) / 8),
        ),
        check=check,
        wait_limit=lambda: limits.decode_grace_seconds + duration / _MIN_PACE,
        pass_fds=[pipe],
    )


def _command(request: OverlayRequest, pipe: str) -> list[str]:
    info, canvas, limits = request.info, request.canvas, request.limits
    source = ffmpeg.input(
        f"file:{request.path.absolute()}",
        **reading_options(info.format),
        max_pixels=padded_pixels(limits),
        threads=limits.decoder_threads,
        noautorotate=None,
        **alpha_options(info),
    )
    size = canvas.width, canvas.height
    images = ffmpeg.input(pipe, format="rawvideo", pixel_format="rgba", video_size=size, framerate=f"{request.rate:g}")
    images = images.filter("setpts", _image_clock(request))
    video = source[str(info.video_stream)]
    for name, *arguments in _video_filters(info, canvas):
        video = video.filter(name, *arguments)
    for name, named in _timing_filters(request):
        video = video.filter(name, **named)
    streams = [video.overlay(images, shortest=1)]
    audio: dict[str, object] = {}
    if request.tracks:
        streams.append(_sound(request, source))
        channels = max(track.channels for track in request.tracks)
        audio = {"c:a": "aac", "b:a": AUDIO_BITRATE, "ac": min(max(channels, 1), 2)}
    output = ffmpeg.output(
        *streams,
        f"file:{request.target.name}",
        format="mp4",
        vsync="passthrough",
        enc_time_base=f"1:{_TICKS}",
        video_track_timescale=_TICKS,
        movflags="+faststart",
        map_metadata=-1,
        map_chapters=-1,
        threads=limits.decoder_threads,
        **{"c:v": "libx264", "preset": "veryfast", "crf": 23, "maxrate": VIDEO_BITRATE, "bufsize": 2 * VIDEO_BITRATE},
        **audio,
    )
    options = ("-nostdin", "-y", "-v", "error", "-filter_threads", "1", "-dts_delta_threshold", str(MAX_JUMP_SECONDS))
    return [str(word) for word in output.global_args(*options).compile()]


def _video_filters(info: MediaInfo, canvas: Canvas) -> list[tuple[str, ...]]:
    """Return names of filters with their arguments. They scale before they rotate, as `Geometry` does."""
    width, height = info.orientation.upright_size(canvas.width, canvas.height)
    turns = [tuple(text.split("=")) for text in info.orientation.filters]
    first = [*(DEINTERLACE if info.is_interlaced else ()), *(FLATTEN if info.has_alpha else ())]
    split = [(name, *arguments.split(":")) for name, _, arguments in (text.partition("=") for text in first)]
    before = [tuple(filter(None, words)) for words in split]
    return [*before, ("scale", str(width), str(height)), ("format", "yuv420p"), ("setsar", "1"), *turns]


def film_rate(info: MediaInfo) -> float | None:
    """Return the frames per second of a film whose source has too few frames, pauses between them, or begins late; None
    if its frames are enough. A low constant rate is multiplied, so that every frame keeps its time."""
    mean = info.frame_rate or 0.0
    base = info.base_frame_rate or mean
    if mean >= MIN_FILM_RATE and base <= MAX_RATE_RATIO * mean and info.picture_start <= MAX_LATE_SECONDS:
        return None
    if base >= MIN_FILM_RATE or base <= 0:
        return min(max(base, MIN_FILM_RATE), MAX_FILM_RATE)
    return base * math.ceil(MIN_FILM_RATE / base)


def image_times(info: MediaInfo, rate: float) -> Iterator[float]:
    """Yield the times of overlay images without end, in seconds: every 1 / `rate`, but none within gaps."""
    skipped = list(grid_ranges(info.gaps, rate))
    for index in itertools.count():
        if not any(first < index < last for first, last in skipped):
            yield index / rate


def _image_clock(request: OverlayRequest) -> str:
    """Return the expression for the time of the n-th image, as `image_times` gives it."""
    terms, missing = ["N"], 0
    for first, last in grid_ranges(request.info.gaps, request.rate):
        skipped = last - first - 1
        missing += skipped
        terms.append(f"gte(N,{last - missing})*{skipped}")
    return f"({'+'.join(terms)})/({request.rate:g}*TB)"


def _timing_filters(request: OverlayRequest) -> list[tuple[str, dict[str, object]]]:
    """Return filters, with their arguments, that repeat frames if they are too few, and the last one until the end.

    Of a gap only the first frame is repeated.
    """
    info, rate = request.info, film_rate(request.info)
    filters: list[tuple[str, dict[str, object]]] = []
    if rate:
        fraction = Fraction(rate).limit_denominator(1001)
        filters.append(("fps", {"fps": fraction, "start_time": 0}))
        ranges = [(first + 1, last - 1) for first, last in grid_ranges(info.gaps, float(fraction))]
        if dropped := "+".join(f"between(pts,{first},{last})" for first, last in ranges):
            filters.append(("select", {"expr": f"not({dropped})"}))
    end = request.duration - 0.001
    last_frame = {"stop": -1, "stop_mode": "clone"}
    return [*filters, ("trim", {"end": end}), ("tpad", last_frame), ("trim", {"end": end})]


def _sound(request: OverlayRequest, source: Any) -> Any:
    """Return the sound of the film: the mix of its tracks, up to its end."""
    within = f"not(gt(t,{request.duration:.3f}))"
    sounds = [
        source[str(track.stream)].filter("aselect", within).filter("aresample", **{"async": 1})
        for track in request.tracks
    ]
    if len(sounds) == 1:
        return sounds[0]
    return ffmpeg.filter(sounds, "amix", inputs=len(sounds), normalize=0)

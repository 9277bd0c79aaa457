"""A film with a layer drawn over it: one ffmpeg child decodes, overlays and encodes; the layer comes through a pipe."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import Self

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from ml.errors import MediaInvalid
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo, padded_pixels, reading_options
from ml.media.sandbox import PIPE_BYTES, Allowance, Check, Child, unchecked

SMALLEST_SIDE, LARGEST_SIDE = 640, 1280
"""Between these the longer side of a film with a layer lies, in pixels: text must be legible, work bounded."""
VIDEO_BITS, SOUND_BITS = 6_000_000, 160_000
"""Most bits a second."""

_TICKS = 90_000
_HEAD_BYTES = 64 * 2**20
_LAYER_PACE = 0.02
"""Slowest encoding, in seconds of media per second that we wait."""

Layer = NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """The size of the film that is made: even sides. `scale`: its pixels for one of the original."""

    width: int
    height: int
    scale: float

    @classmethod
    def of(cls, width: int, height: int) -> Self:
        """For an upright picture of so many pixels."""
        longer = max(width, height)
        scale = min(max(longer, SMALLEST_SIDE), LARGEST_SIDE) / longer
        even_width, even_height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        return cls(even_width, even_height, scale)


def overlay(
    path: Path,
    info: MediaInfo,
    layers: Iterable[Layer],
    rate: float,
    target: Path,
    *,
    canvas: Canvas,
    duration: float,
    limits: MediaLimits,
    check: Check = unchecked,
) -> None:
    """Writes the film at `path` to `target` (MP4: H.264, AAC) with layers over it.

    Every frame keeps its time, whatever the film's rate does, and the sound its place. `layers`: uint8 RGBA
    [height, width, 4] of the canvas, `rate` of them a second from time 0; each is shown until the next, and the film
    ends where they do. They are taken one by one: memory does not grow with length. The metadata of the original are
    left out. `duration` in seconds bounds size and time. `target` lies in a folder of its own, where ffmpeg works.

    Raises MediaInvalid when it cannot be made, ProcessingTimeout, and whatever `check` raises.
    """
    reading, writing = os.pipe()
    try:
        for end in (reading, writing):
            with suppress(OSError):
                fcntl(end, F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(writing, False)
        child = Child(
            _command(path, info, f"pipe:{reading}", rate, target, canvas, limits),
            cwd=target.parent,
            allowance=Allowance(
                memory=limits.child_memory,
                cpu_seconds=limits.child_cpu_seconds,
                file_bytes=_HEAD_BYTES + round(2 * duration * (VIDEO_BITS + SOUND_BITS) / 8),
            ),
            check=check,
            patience=lambda: limits.decode_grace_seconds + duration / _LAYER_PACE,
            pass_fds=[reading],
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    with child:
        try:
            for layer in layers:
                if not child.feed(writing, layer.data.cast("B")):
                    break
        finally:
            os.close(writing)
        status = child.wait()
        errors = child.errors
    if os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, "no room for the film")
    if status != 0 or not target.exists():
        raise MediaInvalid("The film could not be drawn over.")


def _command(
    path: Path, info: MediaInfo, pipe: str, rate: float, target: Path, canvas: Canvas, limits: MediaLimits
) -> list[str]:
    source = ffmpeg.input(
        f"file:{path.absolute()}",
        **reading_options(info.format),
        max_pixels=padded_pixels(limits),
        threads=limits.decoder_threads,
        noautorotate=None,
    )
    size = canvas.width, canvas.height
    layer = ffmpeg.input(pipe, format="rawvideo", pixel_format="rgba", video_size=size, framerate=f"{rate:g}")
    picture = source[str(info.video_stream)]
    for name, *arguments in _picture_filters(info, canvas):
        picture = picture.filter(name, *arguments)
    streams = [picture.overlay(layer, shortest=1)]
    if info.has_audio:
        streams.append(source[str(info.audio_stream)].filter("aresample", **{"async": 1}))
    sound = {"c:a": "aac", "b:a": SOUND_BITS, "ac": min(max(info.audio_channels, 1), 2)} if info.has_audio else {}
    output = ffmpeg.output(
        *streams,
        f"file:{target.name}",
        format="mp4",
        vsync="passthrough",
        enc_time_base=f"1:{_TICKS}",
        video_track_timescale=_TICKS,
        movflags="+faststart",
        map_metadata=-1,
        map_chapters=-1,
        threads=limits.decoder_threads,
        **{"c:v": "libx264", "preset": "veryfast", "crf": 23, "maxrate": VIDEO_BITS, "bufsize": 2 * VIDEO_BITS},
        **sound,
    )
    return [str(word) for word in output.global_args("-nostdin", "-y", "-v", "error", "-filter_threads", "1").compile()]


def _picture_filters(info: MediaInfo, canvas: Canvas) -> list[tuple[str, ...]]:
    """Shrunk before turned, as everywhere; the names of filters with their arguments."""
    width, height = info.orientation.upright(canvas.width, canvas.height)
    turns = [tuple(text.split("=")) for text in info.orientation.filters]
    return [("scale", str(width), str(height)), ("format", "yuv420p"), ("setsar", "1"), *turns]

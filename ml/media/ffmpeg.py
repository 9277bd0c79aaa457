"""The ffmpeg command that decodes pictures and sound of one file in one pass."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from ml.media.geometry import Geometry
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo, padded_pixels, reading_options

SAMPLE_RATE = 16_000
"""Samples a second of all decoded sound."""

SEEK_LEAD = 10.0
"""Seconds before a part at which its decoding begins: a key frame at its very start may come with frames that lean on
an earlier one, and containers that are searched by decoding time may land a little late."""

MOST_CHANNELS = 8
"""Up to so many channels ffmpeg knows a layout of loudspeakers, and how to mix it."""


@dataclass(frozen=True)
class Plan:
    """What to decode. `frame_rate` None: no frames. `channels` 0: no sound; `mixed`: all of them into one.
    `accelerated`: pictures are decoded by an NVIDIA GPU.

    `start`, `end`: seconds from the start of the media.
    """

    geometry: Geometry
    frame_rate: Fraction | None
    channels: int
    mixed: bool
    start: float
    end: float
    accelerated: bool = False

    @property
    def first_frame(self) -> int:
        return math.ceil(self.start * self.frame_rate) if self.frame_rate else 0

    @property
    def end_frame(self) -> int:
        return math.ceil(self.end * self.frame_rate) if self.frame_rate else 0

    @property
    def first_sample(self) -> int:
        return round(self.start * SAMPLE_RATE)

    @property
    def end_sample(self) -> int:
        return round(self.end * SAMPLE_RATE)


def decode_command(path: Path, info: MediaInfo, plan: Plan, sound: int, limits: MediaLimits) -> list[str]:
    """Frames as raw RGB to standard output, sound as s16le to the descriptor `sound`."""
    source = ffmpeg.input(f"file:{path.absolute()}", **_input_options(info, plan, limits))
    outputs = []
    if plan.frame_rate:
        outputs.append(
            ffmpeg.output(
                source[str(info.video_stream)],
                "pipe:1",
                format="rawvideo",
                vf=",".join(_picture_filters(plan)),
                # rawvideo has a constant rate: after a change of size within the stream ffmpeg begins the filters anew,
                # and fills the gap that leaves.
                r=str(plan.frame_rate),
            )
        )
    if plan.channels:
        outputs.append(
            ffmpeg.output(
                source[str(info.audio_stream)],
                f"pipe:{sound}",
                format="s16le",
                acodec="pcm_s16le",
                af=",".join(_sound_filters(info, plan)),
            )
        )
    command = ffmpeg.merge_outputs(*outputs).global_args("-nostdin", "-v", "error", "-filter_threads", "1")
    if plan.start > 0:  # time stamps stay absolute
        command = command.global_args("-copyts", "-start_at_zero")
    return [str(word) for word in command.compile()]


def _input_options(info: MediaInfo, plan: Plan, limits: MediaLimits) -> dict[str, Any]:
    options: dict[str, Any] = {
        **reading_options(info.format),
        "max_pixels": padded_pixels(limits),
        "threads": limits.decoder_threads,
        "noautorotate": None,
    }
    if plan.accelerated:
        # Frames come back into memory, where the filters are. More threads would only hold more of the GPU's surfaces.
        options |= {"hwaccel": "cuda", "threads": 1}
    if plan.start > SEEK_LEAD:
        # Every frame since the key frame before it: the one on screen at `start` began earlier.
        options |= {"noaccurate_seek": None, "ss": plan.start - SEEK_LEAD}
    return options


def _picture_filters(plan: Plan) -> list[str]:
    """Rounding up puts into place k the last frame that began at or before k / rate: the one on screen then."""
    return [
        f"fps={plan.frame_rate}:round=up",
        f"trim=start_pts={plan.first_frame}:end_pts={plan.end_frame}",
        f"setpts=PTS-{plan.first_frame}",
        *plan.geometry.filters,
    ]


def _sound_filters(info: MediaInfo, plan: Plan) -> list[str]:
    # Silence in gaps is made after resampling, where it is small, and never for a time stamp beyond the end. Before a
    # stream that starts late it keeps sound and picture together. Sound alone has no need of that, and may change its
    # format on the way (joined MP3s): ffmpeg would then begin the filters anew, and fill again from zero.
    fill = f":first_pts={plan.first_sample}" if info.has_video or plan.start > 0 else ""
    return [
        f"aselect='not(gt(t,{plan.end:.3f}))'",
        *_channel_filters(info.audio_channels, plan.mixed),
        f"aresample={SAMPLE_RATE}:async=1{fill}",
        f"atrim=start_pts={plan.first_sample}:end_pts={plan.end_sample}",
    ]


def _channel_filters(channels: int, mixed: bool) -> list[str]:
    """Down to 16 kHz, then the channels: ending in a layout that ffmpeg knows, or it refuses to go on."""
    resampled = f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}"
    if mixed and channels <= MOST_CHANNELS:
        return [f"{resampled}:channel_layouts=mono"]
    if mixed:
        share = 1 / channels
        return [resampled, "pan=mono|c0=" + "+".join(f"{share:.6f}*c{channel}" for channel in range(channels))]
    return [resampled, f"pan={channels}c|" + "|".join(f"c{channel}=c{channel}" for channel in range(channels))]

"""The ffmpeg command that decodes frames and audio of one file in one pass."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from ml.media.geometry import FLATTEN, Geometry
from ml.media.limits import MediaLimits
from ml.media.probe import MediaInfo, alpha_options, length_options, padded_pixels, reading_options

SAMPLE_RATE = 16_000
"""Samples per second of all decoded audio."""

SEEK_LEAD_SECONDS = 10.0
"""Seconds before a part at which its decoding begins: a key frame at its very start may be followed by frames that
depend on an earlier one, and containers that are searched by decoding time may land a little late."""

MAX_CHANNELS = 8
"""Maximum number of channels for which ffmpeg knows a speaker layout and how to mix it."""


@dataclass(frozen=True)
class DecodePlan:
    """Frames and audio for ffmpeg to decode.

    Attributes:
        geometry: size of the frames.
        frame_rate: frames per second; None: no frames.
        channels: audio channels in the output; 0: no audio.
        mix: whether all channels are mixed into one.
        start, end: seconds from the start of the media.
        use_gpu: whether an NVIDIA GPU decodes the video.
    """

    geometry: Geometry
    frame_rate: Fraction | None
    channels: int
    mix: bool
    start: float
    end: float
    use_gpu: bool = False

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


def decode_command(path: Path, info: MediaInfo, plan: DecodePlan, audio_fd: int, limits: MediaLimits) -> list[str]:
    """Return the command: frames go to standard output as raw RGB, audio to the descriptor `audio_fd` as s16le."""
    source = ffmpeg.input(f"file:{path.absolute()}", **_input_options(info, plan, limits))
    outputs = []
    if plan.frame_rate:
        outputs.append(
            ffmpeg.output(
                source[str(info.video_stream)],
                "pipe:1",
                format="rawvideo",
                vf=",".join(_video_filters(info, plan)),
                # rawvideo has a constant rate: after a change of size within the stream ffmpeg restarts the filters,
                # and fills the gap that this leaves.
                r=str(plan.frame_rate),
            )
        )
    if plan.channels:
        outputs.append(
            ffmpeg.output(
                source[str(info.audio_stream)],
                f"pipe:{audio_fd}",
                format="s16le",
                acodec="pcm_s16le",
                af=",".join(_audio_filters(info, plan)),
            )
        )
    command = ffmpeg.merge_outputs(*outputs).global_args("-nostdin", "-v", "error", "-filter_threads", "1")
    if plan.start > 0:  # keep time stamps absolute
        command = command.global_args("-copyts", "-start_at_zero")
    return [str(word) for word in command.compile()]


def _input_options(info: MediaInfo, plan: DecodePlan, limits: MediaLimits) -> dict[str, Any]:
    options: dict[str, Any] = {
        **reading_options(info.format),
        "max_pixels": padded_pixels(limits),
        "threads": limits.decoder_threads,
        "noautorotate": None,
        **alpha_options(info),
        **length_options(info.stale_length),
    }
    if plan.use_gpu:
        # Frames are copied back to memory for the filters. More threads would only hold more of the GPU's surfaces.
        options |= {"hwaccel": "cuda", "threads": 1}
    if plan.start > SEEK_LEAD_SECONDS:
        # Decode every frame since the previous key frame: the one on screen at `start` began earlier.
        options |= {"noaccurate_seek": None, "ss": plan.start - SEEK_LEAD_SECONDS}
    return options


def _video_filters(info: MediaInfo, plan: DecodePlan) -> list[str]:
    """Return the filters. Rounding up puts the last frame that began at or before k / rate, the one on screen, at k."""
    return [
        f"fps={plan.frame_rate}:round=up",
        f"trim=start_pts={plan.first_frame}:end_pts={plan.end_frame}",
        f"setpts=PTS-{plan.first_frame}",
        *(FLATTEN if info.has_alpha else ()),
        *plan.geometry.filters,
    ]


def _audio_filters(info: MediaInfo, plan: DecodePlan) -> list[str]:
    # Gaps are filled with silence after resampling, when it is small, and never for a time stamp beyond the end.
    # Silence before a stream that starts late keeps audio and video in sync. Audio alone does not need it, and its
    # format may change midway (joined MP3s): ffmpeg would then restart the filters and fill again from zero.
    fill = f":first_pts={plan.first_sample}" if info.has_video or plan.start > 0 else ""
    return [
        f"aselect='not(gt(t,{plan.end:.3f}))'",
        *_channel_filters(info.audio_channels, plan.mix),
        f"aresample={SAMPLE_RATE}:async=1{fill}",
        f"atrim=start_pts={plan.first_sample}:end_pts={plan.end_sample}",
    ]


def _channel_filters(channels: int, mix: bool) -> list[str]:
    """Return filters that resample to 16 kHz, then map the channels to a layout that ffmpeg accepts."""
    resampled = f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}"
    if mix and channels <= MAX_CHANNELS:
        return [f"{resampled}:channel_layouts=mono"]
    if mix:
        share = 1 / channels
        return [resampled, "pan=mono|c0=" + "+".join(f"{share:.6f}*c{channel}" for channel in range(channels))]
    return [resampled, f"pan={channels}c|" + "|".join(f"c{channel}=c{channel}" for channel in range(channels))]

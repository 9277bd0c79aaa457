"""The ffmpeg command that decodes frames and audio of one file in one pass."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import ffmpeg

from ml.media.ffprobe import length_options, padded_pixels, reading_options
from ml.media.geometry import DEINTERLACE, FLATTEN, Geometry
from ml.media.limits import MediaLimits
from ml.media.mpeg_audio import has_damage, lost_frames_only
from ml.media.probe import MediaInfo, alpha_options
from ml.media.time_stamps import Gap, grid_ranges

SAMPLE_RATE = 16_000
"""Samples per second of all decoded audio."""

SEEK_LEAD_SECONDS = 10.0
"""Seconds before a part at which its decoding begins: a key frame at its very start may be followed by frames that
depend on an earlier one, and containers that are searched by decoding time may land a little late."""

MAX_CHANNELS = 8
"""Maximum number of channels for which ffmpeg knows a speaker layout and how to mix it."""


OVERRUN_SECONDS = 1.0
"""Seconds decoded beyond the limit, to distinguish "exactly at the limit" from "too long"."""

MAX_JUMP_SECONDS = 1_000_000
"""Seconds by which time stamps may jump forward."""

UNTIMED_FORMATS = frozenset({"mp3", "aac"})
"""Formats without time stamps, whose time is the number of samples. Joined files may change their rate midway."""

Sounds = Literal["none", "mix", "both"]
"""Audio in the output: all channels mixed into one, or that mix and then each of several channels."""


@dataclass(frozen=True)
class DecodePlan:
    """Frames and audio for ffmpeg to decode.

    Attributes:
        geometry: size of the frames.
        frame_rate: frames per second; None: no frames.
        sounds: audio in the output.
        start, end: seconds from the start of the media.
        gaps: stretches of the media from which no frame is decoded.
        use_gpu: whether an NVIDIA GPU decodes the video.
    """

    geometry: Geometry
    frame_rate: Fraction | None
    sounds: Sounds
    start: float
    end: float
    gaps: tuple[Gap, ...] = ()
    use_gpu: bool = False

    @property
    def first_frame(self) -> int:
        return math.ceil(self.start * self.frame_rate) if self.frame_rate else 0

    @property
    def end_frame(self) -> int:
        return math.ceil(self.end * self.frame_rate) if self.frame_rate else 0

    @property
    def skipped_frames(self) -> tuple[tuple[int, int], ...]:
        """Points of the grid in gaps, as ranges [first, last)."""
        if not self.frame_rate:
            return ()
        ranges = grid_ranges(self.gaps, float(self.frame_rate))
        inside = ((max(first, self.first_frame), min(last, self.end_frame)) for first, last in ranges)
        return tuple((first, last) for first, last in inside if first < last)

    def next_frame(self, index: int) -> int:
        """Return the first frame from `index` on that is in no gap."""
        for first, last in self.skipped_frames:
            if first <= index < last:
                return last
        return index

    @property
    def first_sample(self) -> int:
        return round(self.start * SAMPLE_RATE)

    @property
    def end_sample(self) -> int:
        return round(self.end * SAMPLE_RATE)


def last_second(info: MediaInfo, end: float | None, limits: MediaLimits) -> float:
    """Return where decoding ends: at the requested `end`, else where the media ends by its time stamps."""
    known = limits.max_seconds + OVERRUN_SECONDS if info.end is None else info.end
    return known if end is None else min(end, known)


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
    if plan.sounds != "none":
        outputs.append(
            ffmpeg.output(
                source[str(info.audio_stream)],
                f"pipe:{audio_fd}",
                format="s16le",
                acodec="pcm_s16le",
                af=",".join(_audio_filters(info, plan)),
                # After a change of format the filters start again, with times that the muxer would complain about.
                **{"bsf:a": "setts=ts=N"},
            )
        )
    command = ffmpeg.merge_outputs(*outputs).global_args("-nostdin", "-v", "error", "-filter_threads", "1")
    # By default, ffmpeg closes gaps in some streams of an MPEG-TS file and not in others. With this threshold it keeps
    # all gaps. Times that go back, as in joined files, still become continuous.
    command = command.global_args("-dts_delta_threshold", str(MAX_JUMP_SECONDS))
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
        *_gap_filters(plan),
        *(DEINTERLACE if info.is_interlaced else ()),
        *(FLATTEN if info.has_alpha else ()),
        *plan.geometry.filters,
    ]


def _gap_filters(plan: DecodePlan) -> list[str]:
    """Return filters that drop the frames in gaps, and number the others from 0: `rawvideo` would fill the gaps."""
    skipped = plan.skipped_frames
    if not skipped:
        return [f"setpts=PTS-{plan.first_frame}"]
    dropped = "+".join(f"between(pts,{first},{last - 1})" for first, last in skipped)
    before = "-".join(f"gte(PTS,{last})*{last - first}" for first, last in skipped)
    return [f"select='not({dropped})'", f"setpts='PTS-{plan.first_frame}-{before}'"]


def _audio_filters(info: MediaInfo, plan: DecodePlan) -> list[str]:
    return [
        f"aselect='not(gt(t,{plan.end:.3f}))'",
        *_channel_filters(info, plan.sounds),
        _resampler(info, plan),
        f"atrim=start_pts={plan.first_sample}:end_pts={plan.end_sample}",
    ]


def _resampler(info: MediaInfo, plan: DecodePlan) -> str:
    """Return the filter that puts the samples at their times.

    Gaps are filled with silence after resampling, when it is small, and never for a time stamp beyond the end. Silence
    before a stream that starts late keeps audio and video in sync. Audio alone does not need it, and its format may
    change midway: ffmpeg would then restart the filters and fill again from zero.
    """
    if info.format in UNTIMED_FORMATS and plan.start == 0:
        return f"aresample={SAMPLE_RATE}"
    fill = f":first_pts={plan.first_sample}" if info.has_video or plan.start > 0 else ""
    return f"aresample={SAMPLE_RATE}:async=1{fill}"


def _channel_filters(info: MediaInfo, sounds: Sounds) -> list[str]:
    """Return filters that resample to 16 kHz, then map the channels to a layout that ffmpeg accepts."""
    resampled = f"aformat=sample_fmts=s16:sample_rates={SAMPLE_RATE}"
    mix, separate = _mix_filter(info.audio_channels), _separate_filter(info)
    if sounds == "mix":
        return [resampled, mix]
    # Both outputs of `asplit` have one layout, so the mix needs a converter of its own. `amerge` sorts channels by
    # speaker unless the same speaker is on both sides: the mix is put on the front left.
    left, right = f"[left]aresample,{mix},pan=FL|c0=c0[mix]", f"[right]{separate}[each]"
    return [f"{resampled},asplit[left][right];{left};{right};[mix][each]amerge=inputs=2"]


def _mix_filter(channels: int) -> str:
    if channels <= MAX_CHANNELS:
        return "aformat=channel_layouts=mono"
    share = 1 / channels
    return "pan=mono|c0=" + "+".join(f"{share:.6f}*c{channel}" for channel in range(channels))


def _separate_filter(info: MediaInfo) -> str:
    channels = info.audio_channels
    pan = f"pan={channels}c|" + "|".join(f"c{channel}=c{channel}" for channel in range(channels))
    # Joined files may have fewer channels midway.
    return f"aformat=channel_layouts=stereo,{pan}" if info.format in UNTIMED_FORMATS and channels == 2 else pan


def reports_damage(errors: str, path: Path, info: MediaInfo) -> bool:
    """Return whether ffmpeg's messages about a file report damage, and not merely tags within joined MP3 files."""
    if not errors.strip():
        return False
    return info.format != "mp3" or not lost_frames_only(errors) or has_damage(path)

"""Streaming decoder: frames and audio of a video or audio file, from one ffmpeg child process under limits."""

import errno
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from ml.errors import AffectError
from ml.media.extent import CODEC_PADDING_SECONDS, DecodedExtent
from ml.media.ffmpeg import SAMPLE_RATE, DecodePlan, decode_command, last_second, reports_damage
from ml.media.ffprobe import TOO_MANY_PIXELS
from ml.media.geometry import MAX_ANALYSIS_SIDE, Geometry
from ml.media.hwaccel import MIN_SECONDS, can_decode
from ml.media.limits import MediaLimits, too_long
from ml.media.probe import MediaInfo
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess, never_cancelled

_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class Frame:
    """The frame on screen at `time` = `index` / frame rate. `image`: uint8 RGB [height, width, 3], upright."""

    index: int
    time: float
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DecodeRequest:
    """Request to decode a file or a part of it.

    Attributes:
        frame_rate: frames per second; None decodes no frames. Ignored if the file has no video.
        audio: whether to decode audio, mixed into one channel. Ignored if the file has none. (`ml.media.sound` decodes
            channels, and mixes them without cancelling sound.)
        start, end: seconds; the part of the media to decode, for work in chunks. `end` None: until the end of the
            media. Gives the frames with start ≤ k / frame_rate < end, identical to those of a full pass. Audio agrees
            within a millisecond, because containers round their time stamps: if it must be identical, decode it once
            for the whole.
        max_side: pixels; frames are shrunk until their longer side is at most this.
        validate: whether to validate the output as the whole media. False leaves that to the caller who joins the
            `extent` of several decoders.
        audio_file: file that receives the audio; None uses an unnamed file that is removed with the decoder.
    """

    frame_rate: float | None
    audio: bool
    start: float = 0.0
    end: float | None = None
    max_side: int = MAX_ANALYSIS_SIDE
    validate: bool = True
    audio_file: Path | None = None


class Decoder:
    """One pass over an audio or video file. A context manager: leaving it kills ffmpeg and removes what it wrote.

    Frames are those on screen at k / `frame_rate` (k = 0, 1, …). The grid is absolute, so chunks of the same media
    agree. Audio is 16 kHz on the same time axis: gaps, and the time before a stream that starts late, are filled with
    silence. Time 0 is the start of the earliest stream.

    Frames pass through a pipe, so ffmpeg decodes no faster than the caller takes them. Audio goes into a file in
    `scratch`, 32 kB per second and channel. Memory does not grow with length.

    Args:
        path: the file.
        info: result of `probe` for the file (kind `audio` or `video`).
        request: what to decode.
        limits: bounds on the media and on the child process.
        scratch: folder for temporary files.
        check: raises if the work is cancelled.

    Raises, all with stage `decode`: MediaInvalid (nothing could be decoded, or less than a second of damaged media),
    MediaTooLong, FrameTooLarge, ProcessingTimeout, and whatever `check` raises.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        request: DecodeRequest,
        *,
        limits: MediaLimits,
        scratch: Path,
        check: CancelCheck = never_cancelled,
    ) -> None:
        self._path, self._info, self._limits, self._check, self._scratch = path, info, limits, check, scratch
        self._plan = _plan_for(request, info, limits)
        self._validates = request.validate and request.start == 0 and request.end is None
        self._audio_file = request.audio_file
        self._next_frame = self._plan.next_frame(self._plan.first_frame)
        self._end_frame: int | None = None  # frame after the last one that was read
        self._finished = self._oversized = False
        self.damaged = False
        """Whether ffmpeg met errors, or stopped long before the declared end. Final once `frames` is exhausted."""

    @property
    def scale(self) -> float:
        """Original pixels per pixel of a frame."""
        return self._plan.geometry.scale

    @property
    def position(self) -> float:
        """Seconds of media decoded so far."""
        return max(self._video_end, self._audio_end)

    @property
    def duration(self) -> float | None:
        """Seconds of media as decoded; the declared duration until `frames` is exhausted."""
        return self.extent.duration(self._info) if self._finished else self._info.duration

    @property
    def extent(self) -> DecodedExtent:
        """How far this decoder got."""
        rate = self._plan.frame_rate
        return DecodedExtent(
            picture=self._video_end,
            sound=self._audio_end,
            damaged=self.damaged,
            oversized=self._oversized,
            step=float(1 / rate) if rate else 0.0,
            heard=self._plan.sounds != "none",
        )

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="decode-", dir=self._scratch)
        if self._audio_file is None:
            self._audio = tempfile.TemporaryFile(dir=self._folder.name)  # unnamed: goes with the process
        else:
            self._audio = self._audio_file.open("w+b")
        self._child: SandboxedProcess | None = None
        try:
            if self._plan.frame_rate or self._plan.sounds != "none":
                self._child = self._start()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            if isinstance(error, AffectError):
                error.stage = error.stage or "decode"
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            self._child.kill()
        self._audio.close()
        self._folder.cleanup()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order. Once exhausted, the audio is decoded too, even if no frames were requested."""
        try:
            if self._child and self._plan.frame_rate:
                yield from self._read_frames(self._child, self._plan.frame_rate)
            if self._child and not self._finished:
                self._finish(self._child)
        except AffectError as error:
            error.stage = error.stage or "decode"
            raise

    def pcm(self) -> npt.NDArray[np.int16]:
        """Return the audio: int16 at 16 kHz, [samples]; empty without audio.

        Mapped from disk, not held in memory. Finishes decoding first and drops frames that were not taken.
        """
        for _ in self.frames():
            pass
        if self._samples == 0:
            return np.zeros(0, np.int16)
        return np.memmap(self._audio, np.int16, mode="r", shape=(self._samples,))

    def _start(self) -> SandboxedProcess:
        self._plan = replace(self._plan, use_gpu=self._can_use_gpu())
        plan, limits = self._plan, self._limits
        return SandboxedProcess(
            decode_command(self._path, self._info, plan, self._audio.fileno(), limits),
            cwd=Path(self._folder.name),
            resources=ResourceLimits(
                memory=limits.child_memory,
                cpu_seconds=limits.child_cpu_seconds,
                file_bytes=math.ceil(plan.end - plan.start + 1) * SAMPLE_RATE * _SAMPLE_BYTES,
                with_gpu=plan.use_gpu,
            ),
            check=self._check,
            wait_limit=lambda: limits.decode_grace_seconds + max(0.0, self.position - plan.start) / limits.decode_pace,
            pass_fds=[self._audio.fileno()],
        )

    def _can_use_gpu(self) -> bool:
        plan, seconds = self._plan, self._info.duration or 0.0
        if self._limits.video_decoder == "software" or plan.frame_rate is None or self._info.has_alpha:
            return False
        if min(plan.end, seconds) - plan.start < MIN_SECONDS:
            return False
        return can_decode(self._path, self._info, plan, self._limits, Path(self._folder.name), self._check)

    def _read_frames(self, child: SandboxedProcess, rate: Fraction) -> Iterator[Frame]:
        shape = self._plan.geometry.shape
        while True:
            image = np.empty(shape, np.uint8)
            if child.read_into(image.data.cast("B")) < image.nbytes:
                return
            if self._plan.start > 0 and self._end_frame is None:
                # Frames before the part may depend on frames before the key frame at which decoding began.
                child.discard_errors()
            index, self._end_frame = self._next_frame, self._next_frame + 1
            self._next_frame = self._plan.next_frame(self._end_frame)
            time = float(index / rate)
            if self._validates and time > self._limits.max_seconds:
                raise too_long(self._limits)
            # If the video starts late, ffmpeg repeats its first frame back to time 0.
            if time >= self._info.picture_start - CODEC_PADDING_SECONDS:
                yield Frame(index, time, image)

    def _finish(self, child: SandboxedProcess) -> None:
        """Wait for ffmpeg to exit and validate its output."""
        status, errors = child.wait(), child.errors
        if os.strerror(errno.ENOSPC) in errors:
            raise OSError(errno.ENOSPC, "no space left for the decoded audio")
        self._finished = True
        self.damaged = status != 0 or reports_damage(errors, self._path, self._info)
        self._oversized = TOO_MANY_PIXELS in errors
        if self._validates:
            self.damaged = self.extent.validate(self._info, self._limits)

    @property
    def _samples(self) -> int:
        """Samples written so far."""
        return os.fstat(self._audio.fileno()).st_size // _SAMPLE_BYTES

    @property
    def _audio_end(self) -> float:
        return self._plan.start + self._samples / SAMPLE_RATE if self._samples else 0.0

    @property
    def _video_end(self) -> float:
        rate = self._plan.frame_rate
        return float(self._end_frame / rate) if rate and self._end_frame is not None else 0.0


def _plan_for(request: DecodeRequest, info: MediaInfo, limits: MediaLimits) -> DecodePlan:
    with_audio = request.audio and info.has_audio
    rate = request.frame_rate if info.has_video else None
    return DecodePlan(
        geometry=Geometry.fit(info.width or 1, info.height or 1, info.orientation, request.max_side),
        frame_rate=Fraction(rate).limit_denominator(10_000) if rate else None,
        sounds="mix" if with_audio else "none",
        start=request.start,
        end=last_second(info, request.end, limits),
        gaps=info.gaps,
    )

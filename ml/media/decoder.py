"""Frames and sound of audio and video, streamed from one ffmpeg child under limits."""

import errno
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from ml.errors import AffectError, MediaInvalid
from ml.media.extent import SLACK_SECONDS, Reach, too_long
from ml.media.ffmpeg import MOST_CHANNELS, SAMPLE_RATE, Plan, decode_command
from ml.media.geometry import ANALYSIS_SIDE, Geometry
from ml.media.hwaccel import LEAST_SECONDS, decodes
from ml.media.limits import MediaLimits
from ml.media.probe import TOO_MANY_PIXELS, MediaInfo
from ml.media.sandbox import Allowance, Check, Child, unchecked

_SAMPLE_BYTES = 2
_OVERRUN_SECONDS = 1.0
"""Decoded beyond the limit, to tell "just as long" from "too long"."""


@dataclass(frozen=True)
class Frame:
    """The picture on screen at `time` = `index` / frame rate. `image`: uint8 RGB [height, width, 3], upright."""

    index: int
    time: float
    image: npt.NDArray[np.uint8]


class Decoder:
    """One pass over audio or video: a context manager; leaving it kills the decoder and removes what it wrote.

    Frames are those on screen at k / `frame_rate` (k = 0, 1, …; the grid is absolute, so chunks of the same media
    agree), shrunk so that the longer side is at most `max_side`. Sound is 16 kHz, in the same time: silence fills what
    lies before a stream that starts late, and gaps. Time 0 is where the earliest stream begins.

    Frames pass through a pipe, so the child works no faster than they are taken; sound goes into a nameless file in
    `scratch`, 32 kB a second and channel. Memory does not grow with length.

    Args:
        path, info: the file, and what `probe` said of it (kind `audio` or `video`).
        frame_rate: frames a second; None: no frames wanted. Ignored where there is no video.
        want_audio: whether sound is wanted. Ignored where there is none.
        channels: `mix` gives one channel; `separate` keeps them, at most `limits.max_channels`.
        start, end: seconds; a part of the media, for work in chunks; `end` None: until its end. Frames at
            start ≤ k / frame_rate < end: the very frames of the whole. Sound agrees within a millisecond, as containers
            round their time stamps: where it must be the very same, it is decoded once for the whole.
        judged: whether what came out is judged as the whole media; else that is left to whoever joins the `reach` of
            several decoders.
        sound_file: where the sound goes; None: into a nameless file that goes with the decoder.

    Raises, all with stage `decode`: MediaInvalid (nothing, or of damaged media less than a second, could be decoded),
    MediaTooLong, FrameTooLarge, ProcessingTimeout, and whatever `check` raises.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        frame_rate: float | None,
        want_audio: bool,
        limits: MediaLimits,
        scratch: Path,
        check: Check = unchecked,
        max_side: int = ANALYSIS_SIDE,
        channels: Literal["mix", "separate"] = "mix",
        start: float = 0.0,
        end: float | None = None,
        judged: bool = True,
        sound_file: Path | None = None,
    ) -> None:
        separate = channels == "separate"
        heard = want_audio and info.has_audio
        most = min(limits.max_channels, MOST_CHANNELS)
        if heard and separate and info.audio_channels > most:
            raise MediaInvalid(f"At most {most} audio channels can be read separately.", stage="decode")
        self._plan = Plan(
            geometry=Geometry.fit(info.width or 1, info.height or 1, info.orientation, max_side),
            frame_rate=Fraction(frame_rate).limit_denominator(10_000) if frame_rate and info.has_video else None,
            channels=(info.audio_channels if separate else 1) if heard else 0,
            mixed=not separate,
            start=start,
            end=limits.max_seconds + _OVERRUN_SECONDS if end is None else end,
        )
        self._whole = judged and start == 0 and end is None
        self._sound_file = sound_file
        self._path, self._info, self._limits, self._check, self._scratch = path, info, limits, check, scratch
        self._next_frame = self._plan.first_frame
        self._finished = self._oversized = False
        self.damaged = False
        """Whether the decoder met errors, or ended long before the media should. Known when `frames` is exhausted."""

    @property
    def scale(self) -> float:
        """Original pixels per pixel of a frame."""
        return self._plan.geometry.scale

    @property
    def position(self) -> float:
        """Seconds of media decoded so far."""
        return max(self._picture_end, self._sound_end)

    @property
    def duration(self) -> float | None:
        """Seconds of media, as decoded; what `probe` said until `frames` is exhausted."""
        return self.reach.duration(self._info) if self._finished else self._info.duration

    @property
    def reach(self) -> Reach:
        """How far this decoder came."""
        rate = self._plan.frame_rate
        return Reach(
            picture=self._picture_end,
            sound=self._sound_end,
            damaged=self.damaged,
            oversized=self._oversized,
            step=float(1 / rate) if rate else 0.0,
            heard=self._plan.channels > 0,
        )

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="decode-", dir=self._scratch)
        if self._sound_file is None:
            self._sound = tempfile.TemporaryFile(dir=self._folder.name)  # a killed worker leaves nothing behind
        else:
            self._sound = self._sound_file.open("w+b")
        self._child: Child | None = None
        try:
            if self._plan.frame_rate or self._plan.channels:
                self._child = self._begin()
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
        self._sound.close()
        self._folder.cleanup()

    def frames(self) -> Iterator[Frame]:
        """Streams the frames, in order. Exhausted, all is decoded: the sound too, also where no frame was wanted."""
        try:
            if self._child and self._plan.frame_rate:
                yield from self._read_frames(self._child, self._plan.frame_rate)
            if self._child and not self._finished:
                self._finish(self._child)
        except AffectError as error:
            error.stage = error.stage or "decode"
            raise

    def pcm(self) -> npt.NDArray[np.int16]:
        """The sound: int16 at 16 kHz, [samples], or with `separate` [samples, channels]; empty where there is none.

        Mapped from disk, not held in memory. Finishes decoding first, dropping frames that were not taken.
        """
        for _ in self.frames():
            pass
        channels = max(1, self._plan.channels)
        shape = (self._samples,) if self._plan.mixed else (self._samples, channels)
        if self._samples == 0:
            return np.zeros(shape, np.int16)
        return np.memmap(self._sound, np.int16, mode="r", shape=shape)

    def _begin(self) -> Child:
        self._plan = replace(self._plan, accelerated=self._accelerates())
        plan, limits = self._plan, self._limits
        return Child(
            decode_command(self._path, self._info, plan, self._sound.fileno(), limits),
            cwd=Path(self._folder.name),
            allowance=Allowance(
                memory=limits.child_memory,
                cpu_seconds=limits.child_cpu_seconds,
                file_bytes=math.ceil(plan.end - plan.start + 1) * SAMPLE_RATE * _SAMPLE_BYTES * max(1, plan.channels),
                with_gpu=plan.accelerated,
            ),
            check=self._check,
            patience=lambda: limits.decode_grace_seconds + max(0.0, self.position - plan.start) / limits.decode_pace,
            pass_fds=[self._sound.fileno()],
        )

    def _accelerates(self) -> bool:
        """Whether a GPU decodes the pictures."""
        plan, seconds = self._plan, self._info.duration or 0.0
        if self._limits.video_decoder == "software" or plan.frame_rate is None:
            return False
        if min(plan.end, seconds) - plan.start < LEAST_SECONDS:
            return False
        return decodes(self._path, self._info, plan, self._limits, Path(self._folder.name), self._check)

    def _read_frames(self, child: Child, rate: Fraction) -> Iterator[Frame]:
        shape = self._plan.geometry.shape
        while True:
            image = np.empty(shape, np.uint8)
            if child.read_into(image.data.cast("B")) < image.nbytes:
                return
            if self._plan.start > 0 and self._next_frame == self._plan.first_frame:
                # Frames before the part may lean on some before the key frame where decoding began.
                child.drop_errors()
            index, self._next_frame = self._next_frame, self._next_frame + 1
            time = float(index / rate)
            if self._whole and time > self._limits.max_seconds:
                raise too_long(self._limits)
            # ffmpeg repeats the first frame of a picture that begins late back to time 0.
            if time >= self._info.picture_start - SLACK_SECONDS:
                yield Frame(index, time, image)

    def _finish(self, child: Child) -> None:
        """Judges what came out when the child has ended."""
        status, errors = child.wait(), child.errors
        if os.strerror(errno.ENOSPC) in errors:
            raise OSError(errno.ENOSPC, "no room for the decoded sound")
        self._finished = True
        self.damaged = status != 0 or bool(errors.strip())
        self._oversized = TOO_MANY_PIXELS in errors
        if self._whole:
            self.damaged = self.reach.judge(self._info, self._limits)

    @property
    def _samples(self) -> int:
        """Samples of each channel that the child has written so far."""
        size = os.fstat(self._sound.fileno()).st_size
        return size // (_SAMPLE_BYTES * max(1, self._plan.channels))

    @property
    def _sound_end(self) -> float:
        return self._plan.start + self._samples / SAMPLE_RATE if self._samples else 0.0

    @property
    def _picture_end(self) -> float:
        rate = self._plan.frame_rate
        return float(self._next_frame / rate) if rate and self._next_frame > self._plan.first_frame else 0.0

"""Streaming decoder of sound: the mix of all channels of a track, and each channel, in one pass of ffmpeg."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ml.errors import AffectError
from ml.media.extent import DecodedExtent
from ml.media.ffmpeg import MAX_CHANNELS, SAMPLE_RATE, DecodePlan, decode_command, last_second, reports_damage
from ml.media.geometry import Geometry
from ml.media.limits import MediaLimits
from ml.media.mixing import STRETCH_SAMPLES, Mixer, Samples
from ml.media.probe import MediaInfo
from ml.media.sandbox import CancelCheck, ResourceLimits, SandboxedProcess, never_cancelled

_BLOCK_SAMPLES = 16 * STRETCH_SAMPLES


@dataclass(frozen=True)
class SoundBlock:
    """Next samples of a sound: the mix [samples], and each channel [samples, channels], one if they are too many."""

    mix_N: Samples
    channels_NC: Samples


class SoundDecoder:
    """One pass over the audio track `info.audio_stream` of a file. A context manager: leaving it kills ffmpeg.

    Sound is 16 kHz on the time axis of the media, as `Decoder` gives it, but channels that oppose each other do not
    cancel (`ml.media.mixing`). Memory does not grow with length.

    Args:
        path, info: the file, and the result of `probe` for it.
        limits: bounds on the media and on the child process.
        scratch: folder for temporary files.
        check: raises if the work is cancelled.
        start, end: seconds; the part to decode. `end` None: until the end of the media.

    Raises, with stage `decode`: ProcessingTimeout, and whatever `check` raises.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        limits: MediaLimits,
        scratch: Path,
        check: CancelCheck = never_cancelled,
        start: float = 0.0,
        end: float | None = None,
    ) -> None:
        self._path, self._info, self._limits, self._scratch, self._check = path, info, limits, scratch, check
        self.channels = info.audio_channels if info.audio_channels <= MAX_CHANNELS else 1
        """Number of channels of the blocks."""
        self._plan = DecodePlan(
            geometry=Geometry.fit(1, 1, info.orientation, 1),
            frame_rate=None,
            sounds="both" if self.channels > 1 else "mix",
            start=start,
            end=last_second(info, end, limits),
        )
        self._samples = 0
        self._max_samples = self._plan.end_sample - self._plan.first_sample + SAMPLE_RATE
        self._damaged = False

    @property
    def extent(self) -> DecodedExtent:
        """How far this decoder got. Final once `blocks` is exhausted."""
        sound = self._plan.start + self._samples / SAMPLE_RATE if self._samples else 0.0
        return DecodedExtent(sound=sound, damaged=self._damaged, heard=True)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="decode-", dir=self._scratch)
        limits, plan = self._limits, self._plan
        try:
            self._child = SandboxedProcess(
                decode_command(self._path, self._info, plan, 1, limits),
                cwd=Path(self._folder.name),
                resources=ResourceLimits(limits.child_memory, limits.child_cpu_seconds),
                check=self._check,
                wait_limit=lambda: limits.decode_grace_seconds + self._samples / SAMPLE_RATE / limits.decode_pace,
            )
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._folder.cleanup()

    def blocks(self) -> Iterator[SoundBlock]:
        """Yield the sound in order, in blocks of at most eight seconds."""
        mixer, width = Mixer(), 1 if self._plan.sounds == "mix" else self.channels + 1
        buffer = np.empty((_BLOCK_SAMPLES, width), np.int16)
        try:
            while count := self._child.read_into(buffer.data.cast("B")) // buffer[0].nbytes:
                samples = buffer[:count]
                self._samples += count
                if self._samples > self._max_samples:
                    return  # time stamps that repeat may give more sound than there is time
                if width == 1:
                    yield SoundBlock(samples[:, 0].copy(), samples.copy())
                else:
                    channels = samples[:, 1:].copy()
                    yield SoundBlock(mixer.mix(channels, samples[:, 0]), channels)
            status = self._child.wait()
            self._damaged = status != 0 or reports_damage(self._child.errors, self._path, self._info)
        except AffectError as error:
            error.stage = error.stage or "decode"
            raise


def mixed_sound(
    path: Path,
    info: MediaInfo,
    track: int | None,
    part: tuple[float, float],
    *,
    limits: MediaLimits,
    scratch: Path,
    check: CancelCheck = never_cancelled,
) -> Samples:
    """Return the mix [samples] of a part of a file: of one audio track by number, or of all, if `track` is null.

    `part`: start and end, in seconds; a short one, because its samples are held in memory. Raises as `SoundDecoder`.
    """
    numbers = range(len(info.audio_tracks)) if track is None else range(track, track + 1)
    tracks = [info.with_track(number) for number in numbers if number < len(info.audio_tracks)] or [info]
    sounds = []
    for each in tracks:
        start, end = part
        with SoundDecoder(path, each, limits=limits, scratch=scratch, check=check, start=start, end=end) as decoder:
            sounds.append(np.concatenate([np.zeros(0, np.int16), *(block.mix_N for block in decoder.blocks())]))
    sounds = [sound for sound in sounds if sound.any()] or sounds[:1]
    if len(sounds) == 1:
        return sounds[0]
    length = max(map(len, sounds))
    return Mixer().mix(np.stack([np.pad(sound, (0, length - len(sound))) for sound in sounds], axis=1))

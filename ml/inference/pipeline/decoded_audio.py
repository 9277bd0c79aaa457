"""Decoded audio of a recording, in files: decoding it, saving it for a later analysis, and loading it again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Self

import numpy as np

from ml.errors import MediaInvalid
from ml.inference.pipeline.context import CHANNELS, MIX, CacheLookup
from ml.media import SAMPLE_RATE, DecodedExtent, Decoder, MediaInfo, MediaLimits, PcmReader, flac
from ml.media.decoder import DecodeRequest
from ml.media.ffmpeg import MAX_CHANNELS
from ml.media.mixing import Mixer, Samples
from ml.media.sandbox import CancelCheck
from ml.media.sound import SoundDecoder

MIN_SOUND_LEVEL = 10.0
"""Minimum level of the loudest tenth of a second of a track that carries sound: root mean square of int16, -70 dB."""
_LEVEL_SAMPLES = SAMPLE_RATE // 10
_BLOCK_SAMPLES = 8 * SAMPLE_RATE


@dataclass(frozen=True)
class AudioLayout:
    """Tracks and channels of the decoded sounds. Its JSON is part of the format of the features file.

    Attributes:
        requested: number of the requested audio track; null for all that carry sound.
        mixed: numbers of the tracks in the mix; empty if the file was decoded before tracks were known.
        channels: number of channels that can be read separately; 0 for none.
        are_tracks: whether these channels are the tracks, by number.
    """

    requested: int | None = None
    mixed: tuple[int, ...] = ()
    channels: int = 0
    are_tracks: bool = False

    @classmethod
    def expected(cls, info: MediaInfo, requested: int | None, limits: MediaLimits) -> "AudioLayout":
        """Return the layout of a file that is not decoded yet, as if every track carried sound. A requested track that
        does not exist is as none."""
        chosen = requested if requested is not None and requested < len(info.audio_tracks) else None
        count = len(_readable_tracks(info, limits))
        if chosen is None and count > 1:
            return cls(None, tuple(range(count)), count, are_tracks=True)
        info = info if chosen is None else info.with_track(chosen)
        return cls(chosen, () if chosen is None else (chosen,), _separable(info.audio_channels, limits))


@dataclass(frozen=True)
class DecodedAudio:
    """Paths of PCM files (s16le, 16 kHz): the mix, and all channels interleaved if they are read separately."""

    mix: Path
    channels: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        return cls(folder / "mix.pcm", folder / "channels.pcm")

    @contextmanager
    def open(self, sounds: int) -> Iterator[tuple[PcmReader, ...]]:
        """Open the first `sounds` sounds: none, the mix alone, or the mix and all `sounds - 1` channels."""
        channels = max(sounds - 1, 0)
        with ExitStack() as stack:
            mix = [stack.enter_context(PcmReader(self.mix))] if sounds else []
            each = [stack.enter_context(PcmReader(self.channels, channels, number)) for number in range(channels)]
            yield (*mix, *each)

    def save(self, folder: Path, channels: int, cached: CacheLookup, check: CancelCheck) -> None:
        """Write the files that exist and are not cached yet as FLAC. `channels`: channels of the recording."""
        for name, pcm, count in ((MIX, self.mix, 1), (CHANNELS, self.channels, channels)):
            if pcm.exists() and cached(name) is None:
                flac.pack(pcm, count, folder / name, check)

    def load(self, sounds: int, cached: CacheLookup, check: CancelCheck) -> bool:
        """Unpack the first `sounds` sounds from the cache. Return False if they are missing or damaged there."""
        try:
            for name, pcm in ((MIX, self.mix), (CHANNELS, self.channels))[:sounds]:
                if path := cached(name):
                    flac.unpack(path, pcm, check)
        except MediaInvalid:
            self.channels.unlink(missing_ok=True)
            return False
        return self.mix.exists()


@dataclass(frozen=True)
class _DecodedTrack:
    """Result of decoding one track. `level`: of its loudest tenth of a second, as in `MIN_SOUND_LEVEL`."""

    extent: DecodedExtent
    level: float


@dataclass(frozen=True)
class MediaSource:
    """A probed audio or video file, with what it takes to decode it."""

    path: Path
    info: MediaInfo
    limits: MediaLimits
    scratch: Path
    check: CancelCheck

    def decoder(self, request: DecodeRequest) -> Decoder:
        return Decoder(self.path, self.info, request, limits=self.limits, scratch=self.scratch, check=self.check)

    def decode_audio(
        self, audio: DecodedAudio, requested: int | None, *, channels: bool
    ) -> tuple[DecodedExtent, AudioLayout]:
        """Decode the mix of a track, or of all tracks that carry sound, and their channels if `channels`, into files.

        `requested`: number of the track; null for all. Returns how far decoding got, and what was decoded.
        """
        layout = AudioLayout.expected(self.info, requested, self.limits)
        if layout.are_tracks:
            return self._decode_tracks(audio, layout, channels=channels)
        info = self.info.with_track(layout.mixed[0]) if layout.mixed else self.info
        track = self._decode_track(info, audio.mix, audio.channels if channels and layout.channels else None)
        return track.extent, layout

    def _decode_tracks(
        self, audio: DecodedAudio, layout: AudioLayout, *, channels: bool
    ) -> tuple[DecodedExtent, AudioLayout]:
        files = [self.scratch / f"track-{number}.pcm" for number in layout.mixed]
        try:
            tracks = [self._decode_track(self.info.with_track(n), file) for n, file in enumerate(files)]
            extent = reduce(or_, (track.extent for track in tracks))
            sounding = tuple(n for n, track in enumerate(tracks) if track.level >= MIN_SOUND_LEVEL)
            if len(sounding) < 2:
                number = sounding[0] if sounding else self._default_track
                only = AudioLayout.expected(self.info, number, self.limits)
                info = self.info.with_track(number)
                self._decode_track(info, audio.mix, audio.channels if channels and only.channels else None)
                return extent, AudioLayout(None, (number,), only.channels)
            self._join_tracks(files, sounding, audio.mix, audio.channels if channels else None)
            return extent, AudioLayout(None, sounding, layout.channels, are_tracks=True)
        finally:
            for file in files:
                file.unlink(missing_ok=True)

    @property
    def _default_track(self) -> int:
        streams = [track.stream for track in self.info.audio_tracks]
        return streams.index(self.info.audio_stream) if self.info.audio_stream in streams else 0

    def _decode_track(self, info: MediaInfo, mix: Path, channels: Path | None = None) -> _DecodedTrack:
        decoder = SoundDecoder(self.path, info, limits=self.limits, scratch=self.scratch, check=self.check)
        level = 0.0
        with ExitStack() as stack:
            stack.enter_context(decoder)
            mix_file = stack.enter_context(mix.open("wb"))
            channels_file = stack.enter_context(channels.open("wb")) if channels else None
            for block in decoder.blocks():
                mix_file.write(block.mix_N.tobytes())
                level = max(level, _level(block.mix_N))
                if channels_file:
                    channels_file.write(block.channels_NC.tobytes())
            return _DecodedTrack(decoder.extent, level)

    def _join_tracks(self, files: list[Path], sounding: tuple[int, ...], mix: Path, channels: Path | None) -> None:
        """Write the mix of the sounding tracks, and all tracks as channels; shorter tracks end in silence."""
        mixer = Mixer()
        with ExitStack() as stack:
            readers = [stack.enter_context(PcmReader(file)) for file in files]
            mix_file = stack.enter_context(mix.open("wb"))
            channels_file = stack.enter_context(channels.open("wb")) if channels else None
            for first in range(0, max(map(len, readers)), _BLOCK_SAMPLES):
                self.check()
                parts = [reader[first : first + _BLOCK_SAMPLES] for reader in readers]
                length = max(map(len, parts))
                block_NC = np.stack([np.pad(part, (0, length - len(part))) for part in parts], axis=1)
                mix_file.write(mixer.mix(block_NC[:, list(sounding)]).tobytes())
                if channels_file:
                    channels_file.write(block_NC.tobytes())


def _readable_tracks(info: MediaInfo, limits: MediaLimits) -> range:
    """Return the numbers of the tracks that are read: the first ones of more than there may be channels."""
    return range(min(len(info.audio_tracks), limits.max_channels, MAX_CHANNELS))


def _separable(channels: int, limits: MediaLimits) -> int:
    """Return the number of channels that can be read separately; 0 for a single one, and for too many."""
    return channels if 2 <= channels <= min(limits.max_channels, MAX_CHANNELS) else 0


def _level(samples: Samples) -> float:
    """Return the level of the loudest tenth of a second."""
    whole = samples[: len(samples) // _LEVEL_SAMPLES * _LEVEL_SAMPLES].reshape(-1, _LEVEL_SAMPLES).astype(np.float32)
    return float(np.sqrt(np.square(whole).mean(axis=1).max())) if len(whole) else 0.0

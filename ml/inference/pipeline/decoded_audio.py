"""Decoded audio of a recording, in files: decoding it, saving it for a later analysis, and loading it again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.errors import MediaInvalid
from ml.inference.pipeline.context import CHANNELS, MIX, CacheLookup
from ml.media import DecodedExtent, Decoder, MediaInfo, MediaLimits, PcmReader, flac
from ml.media.decoder import DecodeRequest
from ml.media.sandbox import CancelCheck


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
class MediaSource:
    """A probed audio or video file, with what it takes to decode it."""

    path: Path
    info: MediaInfo
    limits: MediaLimits
    scratch: Path
    check: CancelCheck

    def decoder(self, request: DecodeRequest) -> Decoder:
        return Decoder(self.path, self.info, request, limits=self.limits, scratch=self.scratch, check=self.check)

    def decode_audio(self, audio: DecodedAudio, *, channels: bool) -> DecodedExtent:
        """Decode the mix, and all channels if `channels`, into files. Return how far decoding the mix got."""
        extent = self._decode(DecodeRequest(None, audio=True, validate=False, audio_file=audio.mix))
        if channels:
            # A second pass, so that the mix does not depend on whether channels are requested.
            try:
                self._decode(DecodeRequest(None, audio=True, channels="separate", audio_file=audio.channels))
            except MediaInvalid:  # too short or too damaged to be read separately
                audio.channels.unlink(missing_ok=True)
        return extent

    def _decode(self, request: DecodeRequest) -> DecodedExtent:
        with self.decoder(request) as decoder:
            for _ in decoder.frames():
                pass
            return decoder.extent

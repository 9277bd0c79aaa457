"""Decoded sound of a recording, in files."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.media import PcmReader


@dataclass(frozen=True)
class DecodedAudio:
    """Paths of PCM files (s16le, 16 kHz): the mix, and all channels interleaved if they are read separately."""

    mix: Path
    channels: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        return cls(folder / "mix.pcm", folder / "channels.pcm")

    @contextmanager
    def open(self, count: int) -> Iterator[tuple[PcmReader, ...]]:
        """Open the first `count` sounds: none, the mix alone, or the mix and all `count - 1` channels."""
        channels = max(count - 1, 0)
        with ExitStack() as stack:
            mix = [stack.enter_context(PcmReader(self.mix))] if count else []
            yield (
                *mix,
                *(stack.enter_context(PcmReader(self.channels, channels, number)) for number in range(channels)),
            )

"""The decoded sound of a recording, in files."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.media import Pcm


@dataclass(frozen=True)
class Soundtrack:
    """Files of s16le at 16 kHz: the mix, and all channels interleaved where they are read separately."""

    mix: Path
    apart: Path

    @classmethod
    def under(cls, folder: Path) -> Self:
        return cls(folder / "mix.pcm", folder / "channels.pcm")

    @contextmanager
    def sounds(self, count: int) -> Iterator[tuple[Pcm, ...]]:
        """The mix and all channels, which are `count` sounds; or the mix alone, or nothing."""
        channels = count - 1
        with ExitStack() as stack:
            mix = [stack.enter_context(Pcm(self.mix))] if count else []
            apart = [stack.enter_context(Pcm(self.apart, channels, number)) for number in range(channels)]
            yield (*mix, *apart)

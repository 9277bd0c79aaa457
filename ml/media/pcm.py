"""Random access to decoded audio in a file."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

_SAMPLE_BYTES = 2


class PcmReader:
    """One channel of a file of interleaved int16 samples: `reader[first:last]` reads those and holds no more.

    Not a memory map: pages that it has touched would count as memory of the process. A context manager.
    """

    dtype = np.dtype(np.int16)

    def __init__(self, path: Path, channels: int = 1, channel: int = 0) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._channels, self._channel = channels, channel
        self._length = os.fstat(self._file).st_size // (_SAMPLE_BYTES * channels)

    def __len__(self) -> int:
        """Return the number of samples."""
        return self._length

    def __getitem__(self, part: slice) -> NDArray[np.int16]:
        """Return the samples [samples] of a slice without a step."""
        first, last, _ = part.indices(self._length)
        frame = _SAMPLE_BYTES * self._channels
        raw = os.pread(self._file, max(last - first, 0) * frame, first * frame)
        return np.frombuffer(raw, np.int16).reshape(-1, self._channels)[:, self._channel]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

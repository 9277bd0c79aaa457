"""Length of the sound in a WAV file, which recorders write when they stop: after a crash the header is stale."""

import os
import struct
from pathlib import Path

MIN_EXTRA_SECONDS = 0.1
"""Minimum seconds of sound after the declared end for which a header is stale; a few bytes may be a foreign trailer."""
_MAX_CHUNKS = 256
_CHUNK_NAMES = (
    "LIST|id3 |ID3 |cue |smpl|fact|bext|iXML|JUNK|junk|PAD |PEAK|"
    "inst|plst|acid|_PMX|cart|levl|umid|axml|chna|DISP|FLLR|SAUR"
)
_KNOWN_CHUNKS = frozenset(_CHUNK_NAMES.encode().split(b"|"))
"""Chunks that follow sound, even if their own length is wrong."""


def has_stale_length(path: Path) -> bool:
    """Return whether sound follows the end of the sound that the header of a RIFF WAV declares.

    Other chunks may follow the sound. What follows is sound if it is no sequence of chunks up to the end of the file.
    """
    size = path.stat().st_size
    rate, stale_from, position = 0, None, 12
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":  # the length of RF64 is in another place
            return False
        for _ in range(_MAX_CHUNKS):
            header = os.pread(file.fileno(), 8, position)
            if len(header) < 8:
                return False
            name, length = struct.unpack("<4sI", header)
            if stale_from is not None and not _is_chunk(name, position + 8 + length, size):
                return size - stale_from > MIN_EXTRA_SECONDS * rate > 0
            if stale_from is not None and name in _KNOWN_CHUNKS:
                return False
            if name == b"fmt ":
                rate = int.from_bytes(os.pread(file.fileno(), 4, position + 16), "little")
            if name == b"data":
                if length in (0, 0xFFFFFFFF):  # read to the end anyway
                    return False
                stale_from = position + 8 + length
            position += 8 + length + length % 2
    return False


def _is_chunk(name: bytes, end: int, size: int) -> bool:
    return name in _KNOWN_CHUNKS or (all(0x20 <= byte < 0x7F for byte in name) and end <= size + 1)

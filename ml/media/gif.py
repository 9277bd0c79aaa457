"""Whether a GIF (GIF89a, 1990) holds a film or one picture, read from its blocks without decoding anything."""

import mmap
from pathlib import Path

_MAX_BLOCKS = 2**18
"""Maximum number of blocks that are read, about 60 MB of pixels. A file with more is treated as a film."""
_IMAGE, _EXTENSION = 0x2C, 0x21
_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10


def is_animated_gif(path: Path) -> bool:
    """Return whether a second picture follows the first. What is cut off or unreadable ends the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _has_second_image(data)
        except IndexError:
            return False


def _has_second_image(data: mmap.mmap) -> bool:
    position = _HEADER_BYTES + _palette_bytes(data[10])
    images = blocks = 0
    while blocks < _MAX_BLOCKS:
        blocks += 1
        if data[position] == _EXTENSION:
            position += 2
        elif data[position] == _IMAGE:
            images += 1
            if images == 2:
                return True
            # The descriptor, its palette and one byte of the code size precede the pixels.
            position += _DESCRIPTOR_BYTES + _palette_bytes(data[position + _DESCRIPTOR_BYTES - 1]) + 1
        else:
            return False
        while (length := data[position]) and blocks < _MAX_BLOCKS:
            position += 1 + length
            blocks += 1
        position += 1
    return True


def _palette_bytes(flags: int) -> int:
    """Return the bytes of the palette that follows a header with these flags."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

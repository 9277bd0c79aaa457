"""Size of HEIF and AVIF images (ISO/IEC 23008-12), read from their boxes without decoding anything."""

import mmap
import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAX_BOXES = 4096
"""Maximum number of boxes, or of entries of a box, that are read: more are an attempt to waste time."""


class _Box(NamedTuple):
    """Name of a box, and first byte and end of its payload."""

    name: bytes
    start: int
    end: int


def upright_size(data: mmap.mmap, *, cropped: bool) -> tuple[int, int] | None:
    """Return width and height of the primary image, as displayed: after its rotation and, if `cropped`, its clean
    aperture. None if it has none. Raises struct.error if the boxes are cut off."""
    meta = _find(data, b"meta", 0, len(data))
    if meta is None:
        return None
    inside = meta.start + 4  # version and flags
    primary = _find(data, b"pitm", inside, meta.end)
    properties = _find(data, b"iprp", inside, meta.end)
    if primary is None or properties is None:
        return None
    container = _find(data, b"ipco", properties.start, properties.end)
    if container is None:
        return None
    available = list(_boxes(data, container.start, container.end))
    size: tuple[int, int] | None = None
    for index in _associated(data, properties, _primary_item(data, primary)):
        if not 1 <= index <= len(available):
            continue
        name, start, _ = available[index - 1]
        if name == b"ispe":
            size = struct.unpack_from(">II", data, start + 4)
        elif name == b"irot" and size and data[start] & 1:
            size = size[1], size[0]
        elif name == b"clap" and size and cropped:
            size = _aperture(data, start)
    return size


def _boxes(data: mmap.mmap, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes between two offsets (ISO/IEC 14496-12, 4.2)."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        elif size == 0:
            size = end - start
        if size < header:
            return
        yield _Box(name, start + header, min(start + size, end))
        start += size


def _find(data: mmap.mmap, name: bytes, start: int, end: int) -> _Box | None:
    return next((box for box in _boxes(data, start, end) if box.name == name), None)


def _primary_item(data: mmap.mmap, box: _Box) -> int:
    version = data[box.start]
    (item,) = struct.unpack_from(">I" if version else ">H", data, box.start + 4)
    return int(item)


def _associated(data: mmap.mmap, properties: _Box, item: int) -> list[int]:
    """Return the numbers of an item's properties, from 1, in the order in which they apply."""
    for name, start, end in _boxes(data, properties.start, properties.end):
        if name != b"ipma":
            continue
        version, flags = data[start], data[start + 3]
        (entries,) = struct.unpack_from(">I", data, start + 4)
        position = start + 8
        for _ in range(min(entries, _MAX_BOXES)):
            if position >= end:
                break
            (found,) = struct.unpack_from(">I" if version else ">H", data, position)
            position += 4 if version else 2
            count = data[position]
            wide = flags & 1
            code = f">{count}H" if wide else f">{count}B"
            numbers = struct.unpack_from(code, data, position + 1)
            position += 1 + struct.calcsize(code)
            if found == item:
                return [number & (0x7FFF if wide else 0x7F) for number in numbers]  # without the bit "essential"
    return []


def _aperture(data: mmap.mmap, start: int) -> tuple[int, int] | None:
    """Return the size of a clean aperture (`clap`), which has fractions."""
    width, width_divisor, height, height_divisor = struct.unpack_from(">4I", data, start)
    if not (width_divisor and height_divisor):
        return None
    return round(width / width_divisor), round(height / height_divisor)

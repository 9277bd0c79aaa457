"""First directory of a TIFF structure (TIFF 6.0, section 2): of a TIFF image, and of EXIF in other images."""

import mmap
import struct
from collections.abc import Mapping

Buffer = bytes | mmap.mmap

WIDTH, HEIGHT, COLOUR_MODEL, ORIENTATION = 256, 257, 262, 274
SUBFILE_TYPE, DNG_VERSION = 254, 50706
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""Codes of `struct` for the integer types: BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG."""
_ENTRY_BYTES = 12
_REDUCED, _COLOUR_FILTER_ARRAYS = 1, frozenset({32803, 34892})
"""Bit of SUBFILE_TYPE for a preview; values of COLOUR_MODEL for the raw output of a sensor (DNG 1.4)."""


def read_first_directory(data: Buffer) -> Mapping[int, int]:
    """Return the tags with an integer value: the first one if there are several. Of an unreadable structure, return
    what could be read."""
    tags: dict[int, int] = {}
    order = _ORDERS.get(bytes(data[:4]))
    if order is None:
        return tags
    try:
        (directory,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, directory)
        for entry in range(directory + 2, directory + 2 + _ENTRY_BYTES * count, _ENTRY_BYTES):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            if kind in _INTEGERS and tag not in tags:
                (tags[tag],) = struct.unpack_from(order + _INTEGERS[kind], data, entry + 8)
    except struct.error:
        pass
    return tags


def is_raw_photo(tags: Mapping[int, int]) -> bool:
    """Return whether the file is of a camera: it begins with a preview, or holds what the sensor measured."""
    preview = tags.get(SUBFILE_TYPE, 0) & _REDUCED
    return bool(preview) or DNG_VERSION in tags or tags.get(COLOUR_MODEL) in _COLOUR_FILTER_ARRAYS

"""Size and orientation of images, read from their headers without decoding anything."""

import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ml.errors import MediaInvalid, UnsupportedMedia
from ml.media import heif, tiff
from ml.media.orientation import UPRIGHT, Orientation
from ml.media.tiff import Buffer
from ml.signatures import RAW_PHOTO, refuse

_EXIF_PREFIX = b"Exif\0\0"
_WEBP_FRAME_HEADER = 16
"""Bytes of an ANMF chunk before the chunks within it."""
_WEBP_ALPHA_FLAG = 0x10
_OLD_DIB_HEADER = 12
"""Bytes of the second header of a BMP in its first version."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0…SOF15 without DHT, JPG, DAC
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0…7, SOI: no length follows
_MAX_SEGMENTS = 4096
"""Maximum number of segments of a header: more are an attempt to waste time."""

_JPEG_SCAN, _JPEG_END, _JPEG_APP1 = 0xDA, 0xD9, 0xE1
_JPEG_END_MARKER = b"\xff\xd9"


@dataclass(frozen=True)
class ImageHeader:
    """Header of an image. `width`, `height`: pixels as the decoder returns them, before rotation by `orientation`;
    `has_end_marker`: false for a JPEG that is cut off."""

    width: int
    height: int
    orientation: Orientation = UPRIGHT
    has_end_marker: bool = True


def read_image_header(path: Path, format_name: str) -> ImageHeader:
    """Read the header of an image of the format. Pillow turns HEIF, AVIF and TIFF upright while it decodes them.

    Raises MediaInvalid if the header is cut off, or declares no size or a size of zero; UnsupportedMedia for a raw
    photo.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            header = _READERS[format_name](data)
        except (struct.error, IndexError):
            header = None
    if header is None or header.width < 1 or header.height < 1:
        raise MediaInvalid("The image cannot be opened. It seems damaged or incomplete.")
    return header


def _webp_chunks(data: Buffer, start: int = 12, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks of a WebP container between two offsets: name, first byte and end of the payload (RFC 9649)."""
    end = len(data) if end is None else min(end, len(data))
    for _ in range(_MAX_SEGMENTS):
        if start + 8 > end:
            break
        name, size = struct.unpack_from("<4sI", data, start)
        yield name, start + 8, min(start + 8 + size, end)
        start += 8 + size + size % 2


def _jpeg(data: Buffer) -> ImageHeader | None:
    """Read marker segments up to the first scan (ITU-T T.81 annex B)."""
    size, orientation, position = None, UPRIGHT, 2
    for _ in range(_MAX_SEGMENTS):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        position += 2
        if marker in _JPEG_BARE:
            continue
        if marker == _JPEG_END:
            break
        if marker == _JPEG_SCAN:
            # Inside a scan every FF is followed by 00, and a thumbnail precedes it: the marker is the image's.
            return ImageHeader(*size, orientation, data.find(_JPEG_END_MARKER, position) >= 0) if size else None
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">xHH", data, position + 2)
            size = width, height
        if marker == _JPEG_APP1 and data[position + 2 : position + 8] == _EXIF_PREFIX:
            orientation = _exif_orientation(data[position + 8 : position + length])
        position += length
    return None


def _png(data: Buffer) -> ImageHeader | None:
    """Read IHDR, the first chunk, and `eXIf`, which may be anywhere before `IEND` (PNG, third edition)."""
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    if name != b"IHDR":
        return None
    orientation, position = UPRIGHT, 8
    for _ in range(_MAX_SEGMENTS):
        if position + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"eXIf":
            orientation = _exif_orientation(data[position + 8 : position + 8 + min(length, 2**16)])
            break
        position += 12 + length
    return ImageHeader(width, height, orientation)


def _webp(data: Buffer) -> ImageHeader | None:
    """Read the size of the image itself, not of its canvas (RFC 9649; RFC 6386 section 9.1 for VP8)."""
    image = _first_image(data)
    if image is None:
        return None
    orientation = UPRIGHT
    for name, start, end in _webp_chunks(data):
        if name == b"EXIF":
            orientation = _exif_orientation(data[start : min(end, start + 2**16)])
    name, start, _ = image
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, start + 1)
        return ImageHeader(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), orientation)
    width, height = struct.unpack_from("<HH", data, start + 6)
    return ImageHeader(width & 0x3FFF, height & 0x3FFF, orientation)


def first_webp_frame(path: Path) -> bytes | None:
    """Return the first frame of an animated WebP as a WebP file; None for a still image."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if all(name != b"ANMF" for name, _, _ in _webp_chunks(data)):
            return None
        image = _first_image(data)
        if image is None:
            return None
        name, start, end = image
        chunks = _webp_chunk(name, data[start:end])
        if name == b"VP8 " and (alpha := _first_alpha(data)) is not None:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, start + 6))
            sides = (max(side - 1, 0).to_bytes(3, "little") for side in (width, height))
            header = struct.pack("<I", _WEBP_ALPHA_FLAG) + b"".join(sides)
            chunks = _webp_chunk(b"VP8X", header) + _webp_chunk(b"ALPH", alpha) + chunks
        return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks


def _webp_chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack("<4sI", name, len(payload)) + payload + bytes(len(payload) % 2)


def _first_image(data: Buffer) -> tuple[bytes, int, int] | None:
    """Return the chunk (name, first byte and end of its payload) with the image, or with an animation's first frame."""
    for name, start, end in _webp_chunks(data):
        inner = _webp_chunks(data, start + _WEBP_FRAME_HEADER, end) if name == b"ANMF" else [(name, start, end)]
        for chunk in inner:
            if chunk[0] in (b"VP8 ", b"VP8L"):
                return chunk
    return None


def _first_alpha(data: Buffer) -> bytes | None:
    """Return the transparency of an animation's first frame, if it is stored apart from the image."""
    for name, start, end in _webp_chunks(data):
        if name == b"ANMF":
            inner = _webp_chunks(data, start + _WEBP_FRAME_HEADER, end)
            return next((data[first:last] for inner_name, first, last in inner if inner_name == b"ALPH"), None)
    return None


def _exif_orientation(exif: bytes) -> Orientation:
    """Read the orientation in the first directory of a TIFF structure (EXIF 2.32, 4.6.2); upright if unreadable. The
    standard has SHORT, but writers use other integers too."""
    tags = tiff.read_first_directory(exif.removeprefix(_EXIF_PREFIX))
    return Orientation.from_exif(tags.get(tiff.ORIENTATION, 1))


def _bmp(data: Buffer) -> ImageHeader | None:
    """Read the second header, whose first version is shorter. A negative height means rows from the top."""
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == _OLD_DIB_HEADER else "<ii", data, 18)
    return ImageHeader(width, abs(height))


def _gif(data: Buffer) -> ImageHeader | None:
    width, height = struct.unpack_from("<HH", data, 6)
    return ImageHeader(width, height)


def _tiff(data: Buffer) -> ImageHeader | None:
    """Read the first picture's size. Raises UnsupportedMedia for a raw photo, which begins alike."""
    tags = tiff.read_first_directory(data)
    if tiff.is_raw_photo(tags):
        raise UnsupportedMedia(refuse(RAW_PHOTO))
    orientation = Orientation.from_exif(tags.get(tiff.ORIENTATION, 1))
    return ImageHeader(*orientation.upright_size(tags.get(tiff.WIDTH, 0), tags.get(tiff.HEIGHT, 0)))


def _heif(data: mmap.mmap) -> ImageHeader | None:
    size = heif.upright_size(data, cropped=True)
    return ImageHeader(*size) if size else None


def _avif(data: mmap.mmap) -> ImageHeader | None:
    """Read the size without the clean aperture, which its decoder does not apply."""
    size = heif.upright_size(data, cropped=False)
    return ImageHeader(*size) if size else None


_READERS: Mapping[str, Callable[[mmap.mmap], ImageHeader | None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "heif": _heif,
    "avif": _avif,
    "tiff": _tiff,
    "bmp": _bmp,
    "gif": _gif,
}

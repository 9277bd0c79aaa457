"""Detection of media formats by their first bytes, shared by the gateway and the worker.

The check costs nothing, so that a text, a web page or a playlist is refused while it is uploaded. The demuxer decides
later what the file really is (`ml.media`).
"""

SNIFF_BYTES = 64
"""Bytes of the beginning of a file that are enough to detect its format."""

IMAGE_FORMATS = frozenset({"jpeg", "png", "webp"})
"""Formats that hold one still image."""

_RIFF_MAGIC = (b"RIFF", b"RF64", b"BW64")
_RIFF_FORMS = {b"WAVE": "wav", b"AVI ": "avi", b"WEBP": "webp"}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""First atom of an MP4 or M4A (`ftyp`), or of a QuickTime file that is older than brands."""
_MOV_BRANDS = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a"}
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""Brands of ISO files that hold an image, which is not accepted."""


def format_from_signature(head: bytes) -> str | None:
    """Return the format that begins with `head` (the first `SNIFF_BYTES` of a file), or None if it is not accepted."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(_RIFF_MAGIC):
        return _RIFF_FORMS.get(head[8:12])
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML
        return "webm" if b"\x42\x82\x84webm" in head else "matroska"
    if head[4:8] in _MOV_ATOMS and (head[0] == 0 or head[4:8] == b"mdat"):  # the atom's size is small, unlike text
        return _mov_brand(head)
    return _mpeg_audio(head)


def _mov_brand(head: bytes) -> str | None:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "  # before brands there was only QuickTime
    return None if brand in _IMAGE_BRANDS else _MOV_BRANDS.get(brand, "mp4")


def _mpeg_audio(head: bytes) -> str | None:
    """Detect MP3 and ADTS AAC by the sync bits of a frame: they have no magic number (ISO/IEC 11172-3 2.4.1, 13818-7
    6.2)."""
    if head.startswith(b"ID3"):
        return "mp3"
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"

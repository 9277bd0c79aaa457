"""Detection of media formats by their first bytes, shared by the gateway and the worker.

The check costs nothing, so that a text, a web page or a playlist is refused while it is uploaded. The demuxer decides
later what the file really is (`ml.media`).
"""

SNIFF_BYTES = 64
"""Bytes of the beginning of a file that are enough to detect its format."""

ACCEPTED = "JPEG, PNG, WebP; WAV, AIFF, MP3, AAC, FLAC, OGG, Opus, M4A, AMR; MP4, MOV, WebM, MKV, AVI"
"""Accepted formats, for messages."""
IMAGE_FORMATS = frozenset({"jpeg", "png", "webp"})
"""Formats that hold one still image."""

_RIFF_MAGIC = (b"RIFF", b"RF64", b"BW64")
_RIFF_FORMS = {b"WAVE": "wav", b"AVI ": "avi", b"WEBP": "webp"}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""First atom of an MP4 or M4A (`ftyp`), or of a QuickTime file that is older than brands."""
_MOV_BRANDS = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a"}
_IMAGE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""Brands of ISO files that hold an image, which is not accepted."""


_AIFF_FORMS = (b"AIFF", b"AIFC")
_REFUSED_BRANDS = {b"avif": "an AVIF image", b"avis": "an AVIF image", b"crx ": "a raw photo (CR3)"}
_REFUSED = (
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image or a raw photo"),
    (b"MM\0*", "a TIFF image or a raw photo"),
    (b"\0\0\x01\0", "an icon"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA, WMV)"),
    (b"FLV\x01", "a Flash video (FLV)"),
    (b"\0\0\x01\xba", "an MPEG program stream (MPG, VOB)"),
    (b"\0\0\x01\xb3", "an MPEG video stream"),
    (b"caff", "a Core Audio file (CAF)"),
    (b".RMF", "RealMedia"),
    (b"MThd", "MIDI"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"#EXTM3U", "a playlist"),
    (b"<svg", "an SVG drawing"),
    (b"<", "a web page or XML"),
)


def describe_refused(head: bytes) -> str:
    """Return the message for a file that begins with `head` and is not accepted: what it is, and what is accepted."""
    return f"{_name_refused(head)} Send {ACCEPTED}."


def _name_refused(head: bytes) -> str:
    if head[4:8] == b"ftyp" and head[8:12] in _IMAGE_BRANDS:
        name = _REFUSED_BRANDS.get(head[8:12], "a HEIC or HEIF image")
    elif len(head) > 16 and head[0] == 0x47 and head[4:8] not in _MOV_ATOMS and not head[:16].isascii():
        name = "probably an MPEG transport stream (TS, MTS, M2TS)"
    else:
        name = next((name for signature, name in _REFUSED if head.lstrip().startswith(signature)), "")
    return f"The file is {name}, which is not supported." if name else "This file type is not supported."


def format_from_signature(head: bytes) -> str | None:
    """Return the format that begins with `head` (the first `SNIFF_BYTES` of a file), or None if it is not accepted."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(_RIFF_MAGIC):
        return _RIFF_FORMS.get(head[8:12])
    if head.startswith(b"FORM") and head[8:12] in _AIFF_FORMS:
        return "aiff"
    if head.startswith((b"#!AMR\n", b"#!AMR-WB\n")):
        return "amr"
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

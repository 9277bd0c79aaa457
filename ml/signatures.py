"""Detection of media formats by their first bytes, shared by the gateway and the worker.

The check costs nothing, so that a text, a web page or a playlist is refused while it is uploaded. The demuxer decides
later what the file really is (`ml.media`).
"""

SNIFF_BYTES = 1024
"""Bytes of the beginning of a file that are enough to detect its format."""
MIN_SNIFF_BYTES = 64
"""Bytes of the beginning of a file that are enough for most formats: one that shows in them is not refused for what
follows. An MPEG transport stream shows later."""

ACCEPTED = (
    "JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF, BMP; WAV, AIFF, MP3, AAC, FLAC, OGG, Opus, M4A, WMA, CAF, AMR; "
    "MP4, MOV, WebM, MKV, AVI, MPEG-TS (TS, MTS, M2TS), MPEG-PS (MPG), WMV, FLV"
)
"""Accepted formats, for messages."""
IMAGE_FORMATS = frozenset({"jpeg", "png", "webp", "heif", "avif", "tiff", "bmp"})
"""Formats that hold one still image. A GIF may hold a film."""

_RIFF_MAGIC = (b"RIFF", b"RF64", b"BW64")
_RIFF_FORMS = {b"WAVE": "wav", b"AVI ": "avi", b"WEBP": "webp"}
_AIFF_FORMS = (b"AIFF", b"AIFC")
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""First atom of an MP4 or M4A (`ftyp`), or of a QuickTime file that is older than brands."""
_BRANDS = {
    **dict.fromkeys((b"qt  ",), "mov"),
    **dict.fromkeys((b"M4A ", b"M4B "), "m4a"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heif"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
    b"crx ": None,
}
"""Format of an ISO file by its major brand; None: not accepted; any other brand is `mp4`."""
_AMBIGUOUS_BRANDS = (b"mif1", b"msf1")
"""Brands of images of any coding: the compatible brands say which."""
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"#!AMR\n", "amr"),
    (b"#!AMR-WB\n", "amr"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"FLV\x01", "flv"),
    (b"\0\0\x01\xba", "mpeg"),
    (b"caff\0\x01", "caf"),
)
_TIFF_MAGIC = (b"II*\0", b"MM\0*")
_DIB_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Bytes of the versions of the second header of a BMP."""
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_TS_SYNC = 0x47
_TS_STRIDES = (188, 192, 204)
"""Bytes from one packet of an MPEG transport stream to the next: plain, with time stamps (MTS, M2TS), with check
bytes (ISO/IEC 13818-1; Blu-ray; DVB)."""
_MIN_TS_PACKETS = 4

_REFUSED = (
    (b"\0\0\x01\0", "an icon"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
    (b"\0\0\x01\xb3", "an MPEG video stream"),
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
RAW_PHOTO = "a raw photo"


def describe_refused(head: bytes) -> str:
    """Return the message for a file that begins with `head` and is not accepted: what it is, and what is accepted."""
    name = _name_refused(head)
    return refuse(name) if name else f"This file type is not supported. Send {ACCEPTED}."


def refuse(name: str) -> str:
    """Return the message for a file that is `name` ("a raw photo"): it is not accepted, but these are."""
    return f"The file is {name}, which is not supported. Send {ACCEPTED}."


def _name_refused(head: bytes) -> str:
    if head[4:12] == b"ftypcrx " or _is_canon_raw(head):
        return RAW_PHOTO
    return next((name for signature, name in _REFUSED if head.lstrip().startswith(signature)), "")


def _is_canon_raw(head: bytes) -> bool:
    return head.startswith(_TIFF_MAGIC) and head[8:10] == b"CR"


def format_from_signature(head: bytes) -> str | None:
    """Return the format that begins with `head` (the first `SNIFF_BYTES` of a file), or None if it is not accepted."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head.startswith(_RIFF_MAGIC):
        return _RIFF_FORMS.get(head[8:12])
    if head.startswith(b"FORM") and head[8:12] in _AIFF_FORMS:
        return "aiff"
    if head.startswith(_TIFF_MAGIC):
        return None if _is_canon_raw(head) else "tiff"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _DIB_HEADER_SIZES:
        return "bmp"
    if head.startswith(_EBML_MAGIC):
        return "webm" if b"\x42\x82\x84webm" in head else "matroska"
    if head[4:8] in _MOV_ATOMS and (head[0] == 0 or head[4:8] == b"mdat"):  # the atom's size is small, unlike text
        return _iso_format(head)
    if _is_transport_stream(head):
        return "mpegts"
    return _mpeg_audio(head)


def _iso_format(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return "mov"  # before brands there was only QuickTime
    brand, end = head[8:12], int.from_bytes(head[:4], "big")
    if brand in _AMBIGUOUS_BRANDS and b"avif" in {head[start : start + 4] for start in range(16, min(end, 256), 4)}:
        return "avif"
    return _BRANDS.get(brand, "mp4")


def _is_transport_stream(head: bytes) -> bool:
    """Return whether packets follow each other: they begin with the same byte at equal distances. The first may be cut
    off."""
    if head.isascii():
        return False
    return any(
        len(syncs) >= _MIN_TS_PACKETS and set(syncs) == {_TS_SYNC}
        for stride in _TS_STRIDES
        for syncs in (head[start::stride] for start in range(stride))
    )


def _mpeg_audio(head: bytes) -> str | None:
    """Detect MP3 and ADTS AAC by the sync bits of a frame: they have no magic number (ISO/IEC 11172-3 2.4.1, 13818-7
    6.2)."""
    if head.startswith(b"ID3"):
        return "mp3"
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"

"""Which formats are accepted, told apart by their first bytes.

The formats' own demuxers are then the only ones that ffprobe and ffmpeg may use (`-format_whitelist`): a playlist, a
script or any other text that names further files is never opened as media.
"""

from dataclasses import dataclass

SNIFF_BYTES = 64


@dataclass(frozen=True)
class Format:
    """An accepted container.

    `demuxers`: ffmpeg's names of those that may read it. `picture`: a still picture. `certain`: the first bytes leave
    no doubt, so that a file that cannot be read is damaged (else: something different that began alike).
    """

    name: str
    demuxers: tuple[str, ...]
    picture: bool = False
    certain: bool = True


_ALL = (
    Format("jpeg", ("jpeg_pipe",), picture=True),
    Format("png", ("png_pipe",), picture=True),
    Format("webp", ("webp_pipe",), picture=True),
    Format("wav", ("wav",)),
    Format("avi", ("avi",)),
    Format("flac", ("flac",)),
    Format("ogg", ("ogg",)),
    Format("mp4", ("mov",)),
    Format("mov", ("mov",)),
    Format("m4a", ("mov",)),
    Format("matroska", ("matroska",)),
    Format("webm", ("matroska",)),
    Format("mp3", ("mp3", "aac", "flac"), certain=False),
    Format("aac", ("mp3", "aac"), certain=False),
)
FORMATS = {format.name: format for format in _ALL}

_RIFF_FORMS = {b"WAVE": "wav", b"AVI ": "avi", b"WEBP": "webp"}
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")


def sniff(head: bytes) -> Format | None:
    """The format that begins with `head` (the first `SNIFF_BYTES` of a file), or None where none is accepted."""
    name = _name(head)
    return FORMATS[name] if name else None


def _name(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF_FORMS.get(head[8:12])
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "webm" if b"\x42\x82\x84webm" in head else "matroska"
    if head[4:8] in _MOV_ATOMS and (head[0] == 0 or head[4:8] == b"mdat"):  # the size: small, so that text is none
        return _mov_brand(head)
    return _mpeg_audio(head)


def _mov_brand(head: bytes) -> str | None:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "  # before the brands there was QuickTime alone
    if brand in _PICTURE_BRANDS:
        return None
    return {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a"}.get(brand, "mp4")


def _mpeg_audio(head: bytes) -> str | None:
    """MP3 and ADTS AAC have no magic number but the sync bits of each frame (ISO/IEC 11172-3 2.4.1, 13818-7 6.2)."""
    if head.startswith(b"ID3"):
        return "mp3"
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"

"""Whether a file begins as one of the accepted formats does.

A first look that costs nothing, so that a text, a page or a playlist is refused while it arrives. What the file truly
is, the worker decides (`ml.media`).
"""

from collections.abc import Callable

SNIFF_BYTES = 64

_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"fLaC",
    b"OggS",
    b"\x1a\x45\xdf\xa3",  # EBML: WebM, Matroska
    b"ID3",  # MP3, or AAC, behind a tag
)
_RIFF_MAGIC = (b"RIFF", b"RF64", b"BW64")
_RIFF_FORMS = (b"WAVE", b"AVI ", b"WEBP")
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""The first atom of an MP4 or M4A (`ftyp`), or of a QuickTime file from before the brands."""
_PICTURE_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")
"""ISO files that hold a picture that is not accepted."""


def is_accepted(head: bytes) -> bool:
    """`head`: the first `SNIFF_BYTES` of a file, or all of a shorter one."""
    return any(looks(head) for looks in _LOOKS)


def _has_magic(head: bytes) -> bool:
    return head.startswith(_MAGIC)


def _is_riff(head: bytes) -> bool:
    return head.startswith(_RIFF_MAGIC) and head[8:12] in _RIFF_FORMS


def _is_mov(head: bytes) -> bool:
    """An atom's size comes before its name: it begins with a zero byte, as no text does; media data may be longer."""
    atom = head[4:8]
    if atom not in _ATOMS or (head[0] != 0 and atom != b"mdat"):
        return False
    return atom != b"ftyp" or head[8:12] not in _PICTURE_BRANDS


def _is_mpeg_audio(head: bytes) -> bool:
    """MP3 and ADTS AAC: the sync bits of a frame (ISO/IEC 11172-3 2.4.1, 13818-7 6.2)."""
    return len(head) >= 4 and head[0] == 0xFF and head[1] >= 0xE0


_LOOKS: tuple[Callable[[bytes], bool], ...] = (_has_magic, _is_riff, _is_mov, _is_mpeg_audio)

"""Bytes of a caller's transcript → text. The content decides, never the name of the file."""

import codecs
import re

from ml.errors import UnsupportedTranscript
from ml.signatures import SNIFF_BYTES, format_from_signature

ACCEPTED = (
    "plain text, SubRip (SRT), WebVTT, ASS, SSA, TTML, SBV, LRC, the text of Otter, and the JSON and TSV of Whisper, "
    "in UTF-8, UTF-16 or Windows-1252"
)
"""Formats and encodings that are read, for messages."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Office document, such as .docx"),
    (b"\xd0\xcf\x11\xe0", "an Office document, such as .doc"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{\\rtf", "an RTF document"),
)
_HEAD_BYTES = 4096
_MIN_NUL_SHARE = 0.3
"""Minimum share of the even or the odd bytes that are zero in UTF-16 without a byte order mark."""
_MAX_FOREIGN_SHARE = 0.4
"""Maximum share of letters beyond ASCII in Windows-1252. In the Cyrillic, Greek and Asian code pages nearly every
letter is beyond ASCII."""
_SYMBOL_IN_WORD = re.compile(r"[^\W\d_][¡-©«-´¶-¹»-¿×÷‚„†‡ˆ‰‹›˜][^\W\d_]")
"""Symbol within a word, where another code page has a letter."""


def unsupported(description: str) -> UnsupportedTranscript:
    """Return the error for a transcript of a kind that is not read."""
    return UnsupportedTranscript(f"The transcript is {description}, which is not supported. Send {ACCEPTED}.")


def decode_transcript(data: bytes) -> str:
    """Decode UTF-8, UTF-16, UTF-32 or Windows-1252. Raises UnsupportedTranscript for anything else."""
    for signature, description in _SIGNATURES:
        if data.startswith(signature):
            raise unsupported(description)
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode(data.removeprefix(mark), encoding)
    if (media := format_from_signature(data[:SNIFF_BYTES])) is not None:
        raise unsupported(f"a media file ({media})")
    if (byte_order := _utf16_by_zeros(data[:_HEAD_BYTES])) is not None:
        return _decode(data, byte_order)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _windows_1252(data)


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise unsupported(f"damaged {encoding[:6].upper()} text") from None


def _utf16_by_zeros(head: bytes) -> str | None:
    """Return the byte order of UTF-16 without a byte order mark: every other byte of Latin letters and line breaks is
    zero. Raises UnsupportedTranscript for other binary data."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    threshold = _MIN_NUL_SHARE * (len(head) // 2)
    if odd > threshold > even:
        return "utf-16-le"
    if even > threshold > odd:
        return "utf-16-be"
    if even + odd > threshold:
        raise unsupported("a binary file")
    return None


def _windows_1252(data: bytes) -> str:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise unsupported("in an unknown encoding, or a binary file") from None
    letters = sum(map(str.isalpha, text))
    foreign = sum(letter.isalpha() and not letter.isascii() for letter in text)
    if foreign > _MAX_FOREIGN_SHARE * letters or _SYMBOL_IN_WORD.search(text):
        raise unsupported("in an unknown encoding")
    return text

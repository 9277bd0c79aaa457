"""The gateway's first look at a file, held against the worker's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sniff import SNIFF_BYTES, is_accepted
from ml.media import formats

ACCEPTED = {
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "wav": b"RIFF\x10\0\0\0WAVEfmt ",
    "rf64": b"RF64\xff\xff\xff\xffWAVEds64",
    "avi": b"RIFF\x10\0\0\0AVI LIST",
    "flac": b"fLaC\0\0\0\x22",
    "ogg": b"OggS\0\x02",
    "mp3": b"\xff\xfb\x90\x64",
    "mp3-id3": b"ID3\x04\0\0",
    "aac": b"\xff\xf1\x50\x80",
    "mp4": b"\0\0\0\x20ftypisom",
    "m4a": b"\0\0\0\x20ftypM4A ",
    "mov": b"\0\0\0\x14ftypqt  ",
    "mov-old": b"\0\0\0\x08wide\0\0\0\0mdat",
    "mov-moov": b"\0\0\x10\0moov\0\0\0\x6cmvhd",
    "mdat-large": b"\x7f\0\0\0mdat",
    "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm",
    "mkv": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska",
}
REFUSED = {
    "text": b"once upon a time there was a text named .mp4",
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n",
    "ffconcat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "html": b"<!doctype html><html>",
    "svg": b"<svg xmlns=",
    "pdf": b"%PDF-1.7",
    "zip": b"PK\x03\x04",
    "gif": b"GIF89a",
    "heic": b"\0\0\0\x18ftypheic",
    "avif": b"\0\0\0\x18ftypavif",
    "riff-other": b"RIFF\x10\0\0\0CDXA",
    "text-with-atom": b"the moov is text",
    "elf": b"\x7fELF\x02\x01\x01",
    "zeros": bytes(64),
    "one-byte": b"\xff",
}


@pytest.mark.parametrize("head", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_each_accepted_format_is_let_in(head: bytes) -> None:
    assert is_accepted(head)


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_media_is_refused(head: bytes) -> None:
    assert not is_accepted(head)


starts = st.sampled_from([*ACCEPTED.values(), *REFUSED.values(), b""])


@given(start=starts, cut=st.integers(0, 24), rest=st.binary(max_size=SNIFF_BYTES))
def test_gateway_and_worker_agree(start: bytes, cut: int, rest: bytes) -> None:
    head = (start[:cut] + rest)[:SNIFF_BYTES]
    assert is_accepted(head) == (formats.sniff(head) is not None)

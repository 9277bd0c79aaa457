import pytest

from ml.signatures import format_from_signature

ACCEPTED = {
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "jpeg",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": "png",
    b"RIFF\x10\0\0\0WEBPVP8 ": "webp",
    b"RIFF\x10\0\0\0WAVEfmt ": "wav",
    b"RF64\xff\xff\xff\xffWAVEds64": "wav",
    b"RIFF\x10\0\0\0AVI LIST": "avi",
    b"fLaC\0\0\0\x22": "flac",
    b"OggS\0\x02": "ogg",
    b"\0\0\0\x20ftypisom": "mp4",
    b"\0\0\0\x14ftypqt  ": "mov",
    b"\0\0\0\x1cftypM4A ": "m4a",
    b"\0\0\0\x08wide\0\0\0\0mdat": "mov",
    b"\0\0\x10\0moov\0\0\0\x6cmvhd": "mov",
    b"\x7f\0\0\0mdat": "mov",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm": "webm",
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska": "matroska",
    b"ID3\x04\0\0\0\0\0\x23": "mp3",
    b"\xff\xfb\x90\x64": "mp3",
    b"\xff\xf1\x50\x80": "aac",
    b"\0\0\0\x1cftypheic\0\0\0\0mif1heic": "heif",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "heif",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif": "avif",
    b"\0\0\0\x1cftypavif": "avif",
    b"II*\0\x08\0\0\0": "tiff",
    b"MM\0*\0\0\0\x08": "tiff",
    b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0": "bmp",
    b"GIF89a\x10\0\x10\0": "gif",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": "asf",
    b"FLV\x01\x05\0\0\0\x09": "flv",
    b"\0\0\x01\xba\x44": "mpeg",
    b"caff\0\x01\0\0": "caf",
    (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 5: "mpegts",
    (b"\0\0\0\0\x47\x40\x11\x10\xf0" + bytes(183)) * 5: "mpegts",
    (b"\x47\x40\x11\x10\xf0" + bytes(199)) * 4: "mpegts",
    bytes(100) + (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 4: "mpegts",
}
REFUSED = [
    b"",
    b"\xff",
    bytes(64),
    b"hello, this is text",
    b"the free world is text, though a MOV may begin so",
    b"the moov is text",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5",
    b"ffconcat version 1.0\nfile 'x'",
    b"GIF90a\x10\0\x10\0",
    b"BMW is a brand of cars, and this a text about them",
    b"II*\0\x10\0\0\0CR\2\0",
    b"G" * 1024,
    (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 3,
    b"%PDF-1.7\n",
    b"<!doctype html><html>",
    b"<svg xmlns='http://www.w3.org/2000/svg'>",
    b"PK\x03\x04",
    b"\0\0\0\x18ftypcrx \0\0\0\1",
    b"RIFF\x10\0\0\0ACON",
    b"\x7fELF\x02\x01\x01",
]


@pytest.mark.parametrize(("head", "name"), ACCEPTED.items())
def test_format_from_signature_accepted_format_is_named(head: bytes, name: str) -> None:
    assert format_from_signature(head) == name


@pytest.mark.parametrize("head", REFUSED)
def test_format_from_signature_other_bytes_give_none(head: bytes) -> None:
    assert format_from_signature(head) is None

import zipfile
from io import BytesIO

import pytest

from ml.errors import UnsupportedTranscript
from ml.reports.caption_encoding import decode_transcript

TEXT = "1\n00:00:01,000 --> 00:00:02,000\nÇa va bien, señor Müller – “really”…\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_decode_transcript_reads_each_encoding(encoding: str) -> None:
    assert decode_transcript(TEXT.encode(encoding)) == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_decode_transcript_utf16_with_byte_order_mark(encoding: str) -> None:
    assert decode_transcript(("\ufeff" + TEXT).encode(encoding)) == TEXT


@pytest.mark.parametrize("text", ["", "a", "Привет, как дела?", "今日は元気です"])
def test_decode_transcript_utf8_is_kept(text: str) -> None:
    assert decode_transcript(text.encode()) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, как дела сегодня?", "cp1251"),
        ("Καλημέρα σας, τι κάνετε;", "cp1253"),
        ("今日はとても元気です", "shift_jis"),
        ("Zażółć gęślą jaźń", "cp1250"),
    ],
)
def test_decode_transcript_other_code_pages_are_refused(text: str, encoding: str) -> None:
    with pytest.raises(UnsupportedTranscript, match=r"unknown encoding.*UTF-16 or Windows-1252"):
        decode_transcript(text.encode(encoding))


def docx() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<w:t>Hello</w:t>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\nHello", "PDF"),
        (docx(), "docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64), r"\.doc"),
        (b"\x1f\x8b\x08" + bytes(9), "gzip"),
        (b"{\\rtf1 Hello}", "RTF"),
        (b"\xff\xd8\xff\xe0" + bytes(64), "jpeg"),
        (b"\0\0\0\x18ftypmp42" + bytes(64), "mp4"),
        (bytes(range(256)) * 4, "unknown encoding"),
        (bytes(1000), "binary"),
        (b"\xff\xfeabc", "UTF-16"),
    ],
)
def test_decode_transcript_other_files_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedTranscript, match=f"{name}.*SubRip"):
        decode_transcript(data)

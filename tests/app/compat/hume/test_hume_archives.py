"""Archives of strangers: what is read of them, and what is refused."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.compat.hume.archives import ArchiveKind, ArchiveLimits, archive_kind, entries_of
from app.errors import ValidationFailed
from ml.errors import AffectError, FileTooLarge

LIMITS = ArchiveLimits(max_files=3, max_bytes=100_000)


def zipped(path: Path, *files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def tarred(path: Path, *files: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


WRITERS: dict[ArchiveKind, Callable[..., Path]] = {"zip": zipped, "tar.gz": tarred}
KINDS = pytest.mark.parametrize("kind", WRITERS)


def read(path: Path, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    kind = archive_kind(path.read_bytes()[:64])
    assert kind is not None
    return {entry.name: b"".join(entry.blocks) for entry in entries_of(path, kind, limits)}


@KINDS
def test_entries_are_the_files_without_folders_and_hidden_ones(kind: ArchiveKind, tmp_path: Path) -> None:
    files = [("a.png", b"1"), ("set/b.png", b"22"), ("__MACOSX/a.png", b"3"), ("set/.DS_Store", b"4")]
    assert read(WRITERS[kind](tmp_path / "a", *files)) == {"a.png": b"1", "set/b.png": b"22"}


@KINDS
def test_entries_left_unread_do_not_disturb_the_next(kind: ArchiveKind, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path / "a", ("a.png", bytes(5000)), ("b.png", b"22"))
    assert [entry.name for entry in entries_of(path, kind, LIMITS)] == ["a.png", "b.png"]


@KINDS
@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png", "..\\a.png", "C:\\a.png"])
def test_file_outside_the_folder_is_refused(kind: ArchiveKind, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match="outside"):
        read(WRITERS[kind](tmp_path / "a", (name, b"1")))


@KINDS
def test_too_many_files_are_refused(kind: ArchiveKind, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match="more than 3 files"):
        read(WRITERS[kind](tmp_path / "a", *((f"{number}.png", b"1") for number in range(4))))
    with pytest.raises(ValidationFailed, match="more than 3 files"):
        read(WRITERS[kind](tmp_path / "a", *((f".{number}", b"1") for number in range(40))))


@KINDS
def test_bomb_is_refused_while_it_unpacks(kind: ArchiveKind, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path / "a", ("a.png", bytes(50_000_000)))
    assert path.stat().st_size < 100_000
    with pytest.raises(FileTooLarge):
        read(path)
    hidden = WRITERS[kind](tmp_path / "b", (".a", bytes(50_000_000)), ("b.png", b"1"))
    if kind == "tar.gz":  # what is passed over must be unpacked too
        with pytest.raises(FileTooLarge):
            read(hidden)
    else:
        assert read(hidden) == {"b.png": b"1"}


def test_size_that_a_zip_declares_is_not_believed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.png", bytes(1_000_000)))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.find(signature) + offset
        data[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(AffectError):
        assert len(read(path)["a.png"]) <= 10


def test_table_of_contents_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.png", b"1"))
    data = bytearray(path.read_bytes())
    data[-10:-6] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ValidationFailed, match="table of contents"):
        read(path)


@pytest.mark.parametrize("type_", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_header_that_fills_the_memory_is_refused(type_: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = type_, 64 << 20
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(info.size))
    with pytest.raises(ValidationFailed, match="damaged"):
        read(path, ArchiveLimits(3, 1 << 30))


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    for type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = type_, "/etc/passwd"
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            archive.addfile(info)
        with pytest.raises(ValidationFailed, match="link or a device"):
            read(tmp_path / "a.tar.gz")
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive_zip:
        archive_zip.writestr(link, "/etc/passwd")
    with pytest.raises(ValidationFailed, match="link or a device"):
        read(tmp_path / "a.zip")


def test_encrypted_and_rarely_compressed_zips_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.png", b"1"), method=zipfile.ZIP_LZMA)
    with pytest.raises(ValidationFailed, match="compressed or encrypted"):
        read(path)
    path = zipped(tmp_path / "b.zip", ("a.png", b"1"))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(ValidationFailed, match="compressed or encrypted"):
        read(path)


@KINDS
def test_cut_archive_is_damaged(kind: ArchiveKind, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path / "a", ("a.png", os.urandom(4000)))
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(ValidationFailed):
        read(path)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(list(WRITERS)), place=st.floats(0, 1), bytes_=st.binary(min_size=1, max_size=12))
def test_damage_anywhere_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, kind: ArchiveKind, place: float, bytes_: bytes
) -> None:
    path = WRITERS[kind](tmp_path_factory.getbasetemp() / "damaged", ("a.png", b"abc" * 99), ("b/c.png", b"1"))
    data = bytearray(path.read_bytes())
    at = 4 + int(place * (len(data) - 5))
    data[at : at + len(bytes_)] = bytes_
    path.write_bytes(data)
    try:
        entries = {entry.name: b"".join(entry.blocks) for entry in entries_of(path, kind, LIMITS)}
    except AffectError:
        return
    assert len(entries) <= LIMITS.max_files

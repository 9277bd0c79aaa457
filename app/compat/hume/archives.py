"""Archives of media (`.zip`, `.tar.gz`), read one entry after the other, within limits.

An archive is hostile until read: it may name files outside its folder, unpack to a thousand times its size, or declare
tables that fill the memory. Names are for display only; bytes are counted as they are unpacked, whatever was declared.
"""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from app.errors import ValidationFailed
from ml.errors import FileTooLarge

BLOCK_BYTES = 1 << 20
MAX_DIRECTORY_BYTES = 4 << 20
"""Maximum bytes of the table of contents of a zip, which is read into memory."""
MAX_HEADER_BYTES = 1 << 20
"""Maximum bytes between two entries of a tar: their headers are read into memory."""
BUFFER_BYTES = 128 * tarfile.BLOCKSIZE
"""Bytes of a tar that are unpacked at a time."""
ENTRIES_PER_FILE = 10
"""Entries that are looked at for each file that may be in an archive: folders and hidden files are passed over."""
_ZIP_END = b"PK\x05\x06"
_ZIP64_END = b"PK\x06\x07"
_ZIP_END_BYTES = 22
_MAX_COMMENT_BYTES = 65_535
_ENCRYPTED = 0x1
_HIDDEN_FOLDERS = ("__MACOSX",)

ArchiveKind = Literal["zip", "tar.gz"]


@dataclass(frozen=True)
class ArchiveLimits:
    """Maximum number of files, and of bytes that they may have together."""

    max_files: int
    max_bytes: int


@dataclass(frozen=True)
class ArchiveEntry:
    """A file of an archive. `blocks` gives its content, and may be left unread."""

    name: str
    blocks: Iterator[bytes]


def archive_kind(head: bytes) -> ArchiveKind | None:
    """Return the kind of archive that begins with these bytes, or None."""
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    return "tar.gz" if head.startswith(b"\x1f\x8b") else None


def entries_of(path: Path, kind: ArchiveKind, limits: ArchiveLimits) -> Iterator[ArchiveEntry]:
    """Yield the files of an archive, in its order. Read or drop each before the next.

    Raises ValidationFailed if the archive is damaged, encrypted, has too many files, or one that is no plain file
    within the archive's folder; FileTooLarge if it unpacks to too many bytes.
    """
    budget = _Budget(limits)
    with _refusing_damage():
        yield from (_zip_entries(path, budget) if kind == "zip" else _tar_entries(path, budget))


@contextmanager
def _refusing_damage() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, OSError, EOFError, ValueError) as error:
        raise ValidationFailed("The archive is damaged.") from error
    except (NotImplementedError, RuntimeError, OverflowError) as error:
        raise ValidationFailed("The archive is compressed or encrypted in a way that is not read.") from error


class _Budget:
    """Remaining files and bytes of an archive, below its limits."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._entries = self._files = self._bytes = 0

    def count_entry(self) -> None:
        self._entries += 1
        if self._entries > ENTRIES_PER_FILE * self._limits.max_files:
            raise self._too_many()

    def count_file(self) -> None:
        self._files += 1
        if self._files > self._limits.max_files:
            raise self._too_many()

    def _too_many(self) -> ValidationFailed:
        return ValidationFailed(f"The archive has more than {self._limits.max_files} files.")

    def count_bytes(self, number: int) -> None:
        self._bytes += number
        if self._bytes > self._limits.max_bytes:
            raise FileTooLarge(f"The archive unpacks to more than {self._limits.max_bytes} bytes.")

    def blocks(self, file: Any) -> Iterator[bytes]:
        """Yield the content of an open file in blocks, and count them. Raises what `entries_of` raises."""
        while True:
            with _refusing_damage():
                block = file.read(BLOCK_BYTES)
            if not block:
                return
            self.count_bytes(len(block))
            yield block


def _is_wanted(name: str) -> bool:
    """Return whether an entry is a file for people. Raises ValidationFailed if its name leads out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts or ("",))[0]:
        raise ValidationFailed("The archive has a file outside its own folder.")
    return bool(path.parts) and path.parts[0] not in _HIDDEN_FOLDERS and not path.name.startswith(".")


def _zip_entries(path: Path, budget: _Budget) -> Iterator[ArchiveEntry]:
    with path.open("rb") as file:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                budget.count_entry()
                mode = info.external_attr >> 16
                if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _no_plain_file()
                if not _is_wanted(info.filename) or info.is_dir():
                    continue
                if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValidationFailed("The archive is compressed or encrypted in a way that is not read.")
                budget.count_file()
                with archive.open(info) as content:
                    yield ArchiveEntry(info.filename, budget.blocks(content))


def _check_directory(file: BinaryIO) -> None:
    """Raise ValidationFailed if the table of contents of a zip is missing or too large to be read into memory."""
    size = file.seek(0, io.SEEK_END)
    start = max(size - _ZIP_END_BYTES - _MAX_COMMENT_BYTES - len(_ZIP64_END) - 16, 0)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(_ZIP_END)
    if place < 0 or len(tail) - place < _ZIP_END_BYTES:
        raise ValidationFailed("The archive is damaged.")
    directory_bytes = int.from_bytes(tail[place + 12 : place + 16], "little")
    if directory_bytes > MAX_DIRECTORY_BYTES or _ZIP64_END in tail[max(place - 20, 0) : place]:
        raise ValidationFailed("The archive has too large a table of contents.")


def _tar_entries(path: Path, budget: _Budget) -> Iterator[ArchiveEntry]:
    with gzip.open(path) as unpacked:
        reader = _HeaderBound(unpacked)
        with tarfile.open(fileobj=reader, mode="r|", bufsize=BUFFER_BYTES) as archive:
            while True:
                reader.bound(MAX_HEADER_BYTES)
                info = archive.next()
                if info is None:
                    return
                budget.count_entry()
                if not (info.isfile() or info.isdir()):
                    raise _no_plain_file()
                reader.bound(None)
                content = archive.extractfile(info)
                if content is None:
                    _is_wanted(info.name)
                    continue
                blocks = budget.blocks(content)
                if _is_wanted(info.name):
                    budget.count_file()
                    yield ArchiveEntry(info.name, blocks)
                for _ in blocks:  # what was left unread, so that it is counted
                    pass


class _HeaderBound(io.RawIOBase):
    """Stream of which a limited number of bytes may be read until the bound is set again."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left: int | None = None

    def bound(self, number: int | None) -> None:
        self._left = number

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise tarfile.ReadError("the headers are too long")
        return data


def _no_plain_file() -> ValidationFailed:
    return ValidationFailed("The archive has a link or a device, which is no plain file.")

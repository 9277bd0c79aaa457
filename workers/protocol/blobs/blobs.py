"""Bytes that outlive a process: media, requests and results, under keys, over fsspec."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from workers.protocol.blobs.storage_backend import (
    BLOCK_BYTES,
    ErrorTranslatingFile,
    SpaceCheckedFile,
    free_bytes,
    open_file_system,
    storage_unavailable,
    translate_errors,
)
from workers.protocol.settings import SharedSettings

_DELETE_TRIES = 5
_STAGED = ".part"
"""Ends the name of what is still being written."""


class BlobStore:
    """A store of blobs by key (`jobs/<id>/media`). A key is made by us: no name that a caller chose is ever in it."""

    def __init__(self, url: str, min_free_bytes: int = 0) -> None:
        """`least_free`: bytes that media have to leave free on a local disk."""
        self._files, self._root = open_file_system(url)
        self._least_free = min_free_bytes
        self._local = "file" in self._files.protocol

    @classmethod
    def from_settings(cls, settings: SharedSettings) -> "BlobStore":
        return cls(settings.blob_url or f"file://{settings.data_dir.absolute() / 'blobs'}", settings.min_free_bytes)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def open_writer(self, key: str, *, check_free_space: bool = False) -> Iterator[BinaryIO]:
        """A file to write into. The blob is there, whole, when the context ends well, and not at all otherwise.
        `leave_room`: refuse to write once there is too little: what is under way needs it, and Redis beside it."""
        with self._staged(key) if self._local else self._in_parts(key) as file:
            yield cast(
                BinaryIO,
                SpaceCheckedFile(file, self.has_free_space) if check_free_space else ErrorTranslatingFile(file),
            )

    @contextmanager
    def _staged(self, key: str) -> Iterator[Any]:
        """A file beside the blob, renamed at the end."""
        staging = self._path(key + _STAGED)
        file = self._files.open(staging, "wb")
        try:
            yield file
            translate_errors(file.close)
            self._files.mv(staging, self._path(key))
        except BaseException:
            with suppress(OSError):  # it may have no room for what it still held back
                file.close()
            if self._files.exists(staging):
                self._files.rm(staging)
            raise

    @contextmanager
    def _in_parts(self, key: str) -> Iterator[Any]:
        """Parts go to the object store as they fill up; it joins them at the end."""
        try:
            file = self._files.open(self._path(key), "wb", autocommit=False, block_size=BLOCK_BYTES)
            try:
                yield file
                translate_errors(file.close)
                translate_errors(file.commit)
            except BaseException:
                file.closed = True  # or it begins another upload when it is collected
                translate_errors(file.discard)
                raise
        except FileNotFoundError as error:
            raise storage_unavailable() from error

    def put(self, key: str, content: bytes) -> None:
        with self.open_writer(key) as file:
            file.write(content)

    def get(self, key: str) -> bytes | None:
        """The content; null when there is none."""
        try:
            return cast(bytes, self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            return None

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`. Raises FileNotFoundError."""
        return cast(bytes, self._files.cat_file(self._path(key), start=start, end=end))

    def size(self, key: str) -> int | None:
        """How many bytes the blob has; null when there is none."""
        try:
            about = self._files.info(self._path(key))
        except FileNotFoundError:
            return None
        return int(about["size"]) if about["type"] == "file" else None

    def list_sizes(self, prefix: str) -> dict[str, int]:
        """The blobs that lie right under a prefix: bytes by name, in the order of the names."""
        try:
            listed = self._files.ls(self._path(prefix), detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        found = {about["name"].rpartition("/")[2]: about["size"] for about in listed if about["type"] == "file"}
        return {name: int(found[name]) for name in sorted(found) if not name.endswith(_STAGED)}

    def exists(self, key: str) -> bool:
        return bool(self._files.exists(self._path(key)))

    @contextmanager
    def as_file(self, key: str, scratch: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """The blob as a local file: itself where blobs are local, otherwise a copy under `scratch`, during which
        `check` is called. Raises FileNotFoundError; OSError where the scratch has no room."""
        if self._local:
            path = Path(self._path(key))
            if not path.is_file():
                raise FileNotFoundError(key)
            yield path
            return
        path = scratch / "media"
        size = self._files.info(self._path(key))["size"]
        with path.open("wb") as target:
            for start in range(0, size, BLOCK_BYTES):
                check()
                target.write(self._files.cat_file(self._path(key), start=start, end=min(start + BLOCK_BYTES, size)))
        yield path

    def move(self, source: str, target: str) -> None:
        """Gives a blob another key. Raises FileNotFoundError."""
        self._files.mv(self._path(source), self._path(target))

    def has_free_space(self) -> bool:
        """Whether enough is free on a local disk; an object store says for itself when it is full."""
        return not self._local or free_bytes(Path(self._root)) >= self._least_free

    def delete(self, prefix: str) -> None:
        """Removes everything under a prefix, or the blob of that key; nothing there is no error. Another may write or
        delete there meanwhile: what it adds goes too."""
        path = self._path(prefix)
        for last in (False,) * _DELETE_TRIES + (True,):
            if not self._files.exists(path):
                return
            try:
                self._files.rm(path, recursive=True)
            except OSError:  # not there any more, or not empty yet
                if last:
                    raise

    def find_untouched_jobs(self, seconds: float) -> dict[str, frozenset[str]]:
        """The jobs under whose prefix nothing was written for so many seconds: the names of their blobs, by id."""
        found: dict[str, _Found] = defaultdict(_Found)
        jobs = self._path("jobs")
        if not self._files.exists(jobs):
            return {}
        for path, about in self._files.find(jobs, withdirs=True, detail=True).items():
            job_id, _, name = path.removeprefix(jobs).strip("/").partition("/")
            found[job_id].add(name, about)
        found.pop("", None)
        before = time.time() - seconds
        return {job_id: frozenset(each.names) for job_id, each in found.items() if each.newest < before}


@dataclass
class _Found:
    """What lies under one prefix, and when the newest of it was written (seconds since 1970)."""

    names: set[str] = field(default_factory=set)
    newest: float = 0.0

    def add(self, name: str, about: Mapping[str, Any]) -> None:
        times = (about.get(key) for key in ("mtime", "LastModified", "created"))
        untold = math.inf if about["type"] == "file" else 0.0
        written = next((each for each in times if each is not None), untold)
        at = written.timestamp() if isinstance(written, datetime) else float(written)
        self.newest = max(self.newest, at)
        self.names.add(name)

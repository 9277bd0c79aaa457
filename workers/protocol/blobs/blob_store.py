"""The blob store: media, requests and results as bytes under keys, over fsspec."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

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

_DELETE_ATTEMPTS = 12
"""Maximum attempts to delete a folder while other processes delete or write its files. Each fails one time in four."""
_STAGING_SUFFIX = ".part"
"""End of the name of a file that is being written."""


class BlobStore:
    """Blobs by key (`workers/protocol/blob_keys.py`). The service makes the keys: none contains a name that a caller
    chose. Every method raises StorageFull, StorageError."""

    def __init__(self, url: str, min_free_bytes: int = 0) -> None:
        """`url`: any fsspec URL. `min_free_bytes`: bytes that uploads must leave free on a local disk."""
        self._files, self._root = open_file_system(url)
        self._min_free_bytes = min_free_bytes
        self._is_local = "file" in self._files.protocol

    @classmethod
    def from_settings(cls, settings: SharedSettings) -> Self:
        return cls(settings.blob_url or f"file://{settings.data_dir.absolute() / 'blobs'}", settings.min_free_bytes)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def open_writer(self, key: str, *, check_free_space: bool = False) -> Iterator[BinaryIO]:
        """Open a blob for writing. It appears, complete, when the context ends without an error, otherwise not at all.

        `check_free_space`: reject writes when too little space is left for running jobs and Redis.
        """
        with self._staged_file(key) if self._is_local else self._multipart_upload(key) as file:
            yield cast(
                BinaryIO,
                SpaceCheckedFile(file, self.has_free_space) if check_free_space else ErrorTranslatingFile(file),
            )

    @contextmanager
    def _staged_file(self, key: str) -> Iterator[Any]:
        """Open a file next to the blob, which is renamed at the end."""
        staging = self._path(key + _STAGING_SUFFIX)
        file = self._files.open(staging, "wb")
        try:
            yield file
            translate_errors(file.close)
            self._files.mv(staging, self._path(key))
        except BaseException:
            with suppress(OSError):  # closing writes what is buffered, for which there may be no space
                file.close()
            if self._files.exists(staging):
                self._files.rm(staging)
            raise

    @contextmanager
    def _multipart_upload(self, key: str) -> Iterator[Any]:
        """Open an upload in parts, which the object store joins at the end."""
        try:
            file = self._files.open(self._path(key), "wb", autocommit=False, block_size=BLOCK_BYTES)
            try:
                yield file
                translate_errors(file.close)
                translate_errors(file.commit)
            except BaseException:
                file.closed = True  # otherwise garbage collection begins another upload
                translate_errors(file.discard)
                raise
        except FileNotFoundError as error:
            raise storage_unavailable() from error

    def put(self, key: str, content: bytes) -> None:
        """Write a blob."""
        with self.open_writer(key) as file:
            file.write(content)

    def get(self, key: str) -> bytes | None:
        """Return the content of a blob; None if it does not exist."""
        try:
            return cast(bytes, self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            return None

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to, but not including, `end`. Raises FileNotFoundError."""
        return cast(bytes, self._files.cat_file(self._path(key), start=start, end=end))

    def size(self, key: str) -> int | None:
        """Return the size of a blob in bytes; None if it does not exist."""
        try:
            info = self._files.info(self._path(key))
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def list_sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes in bytes of the blobs directly under a prefix, by name and sorted by name."""
        try:
            entries = self._files.ls(self._path(prefix), detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        sizes = {entry["name"].rpartition("/")[2]: int(entry["size"]) for entry in entries if entry["type"] == "file"}
        return {name: size for name, size in sorted(sizes.items()) if not name.endswith(_STAGING_SUFFIX)}

    def exists(self, key: str) -> bool:
        """Return whether there is a blob with this key or prefix."""
        return bool(self._files.exists(self._path(key)))

    @contextmanager
    def as_file(self, key: str, scratch: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
        """Provide a blob as a local file: the blob itself if blobs are local, otherwise a copy in the folder `scratch`.

        `check` is called repeatedly during the copy; it may raise. Raises FileNotFoundError; OSError if `scratch` has
        no space.
        """
        if self._is_local:
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

    def has_free_space(self) -> bool:
        """Return whether a local disk has enough free space. An object store reports by itself when it is full."""
        return not self._is_local or free_bytes(Path(self._root)) >= self._min_free_bytes

    def delete(self, prefix: str) -> None:
        """Delete everything under a prefix, or the blob with that key, if there is any. What other processes write
        there at the same time is deleted too."""
        path = self._path(prefix)
        for attempt in range(1, _DELETE_ATTEMPTS + 1):
            if not self._files.exists(path):
                return
            try:
                self._files.rm(path, recursive=True)
            except OSError:  # another process deleted a file, or added one
                if attempt == _DELETE_ATTEMPTS:
                    raise

    def find_untouched_jobs(self, seconds: float) -> dict[str, frozenset[str]]:
        """Return the jobs without writes for `seconds`: the names of their blobs by job id."""
        jobs_path = self._path("jobs")
        if not self._files.exists(jobs_path):
            return {}
        jobs: dict[str, _JobFiles] = defaultdict(_JobFiles)
        for path, info in self._files.find(jobs_path, withdirs=True, detail=True).items():
            job_id, _, name = path.removeprefix(jobs_path).strip("/").partition("/")
            jobs[job_id].add(name, info)
        jobs.pop("", None)
        before = time.time() - seconds
        return {job_id: frozenset(files.names) for job_id, files in jobs.items() if files.newest < before}


@dataclass
class _JobFiles:
    """Names of the files of a job, and time at which the newest was written (seconds since 1970)."""

    names: set[str] = field(default_factory=set)
    newest: float = 0.0

    def add(self, name: str, info: Mapping[str, Any]) -> None:
        """Add a file or folder. A file of unknown age counts as new, so that it is never swept."""
        times = (info.get(key) for key in ("mtime", "LastModified", "created"))
        unknown = math.inf if info["type"] == "file" else 0.0
        written = next((value for value in times if value is not None), unknown)
        self.newest = max(self.newest, written.timestamp() if isinstance(written, datetime) else float(written))
        self.names.add(name)

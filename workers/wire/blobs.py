"""Bytes that outlive a process: media, requests and results, under keys, over fsspec."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import fsspec

from workers.wire.settings import WireSettings


class Blobs:
    """A store of blobs by key (`jobs/<id>/media`). A key is made by us: no name that a caller chose is ever in it."""

    def __init__(self, url: str) -> None:
        self._files, root = fsspec.core.url_to_fs(url, auto_mkdir=True)
        self._root = root.rstrip("/")

    @classmethod
    def of(cls, settings: WireSettings) -> "Blobs":
        return cls(settings.blob_url or f"file://{settings.data_dir.absolute() / 'blobs'}")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def writing(self, key: str) -> Iterator[BinaryIO]:
        """A file to write into. The blob is there, whole, when the context ends well, and not at all otherwise."""
        staging = self._path(f"{key}.part")
        try:
            with self._files.open(staging, "wb") as file:
                yield cast(BinaryIO, file)
            self._files.mv(staging, self._path(key))
        except BaseException:
            if self._files.exists(staging):
                self._files.rm(staging)
            raise

    def put(self, key: str, content: bytes) -> None:
        with self.writing(key) as file:
            file.write(content)

    def get(self, key: str) -> bytes | None:
        """The content; null when there is none."""
        try:
            return cast(bytes, self._files.cat_file(self._path(key)))
        except FileNotFoundError:
            return None

    def exists(self, key: str) -> bool:
        return bool(self._files.exists(self._path(key)))

    @contextmanager
    def as_file(self, key: str, scratch: Path) -> Iterator[Path]:
        """The blob as a local file: itself where blobs are local, otherwise a copy under `scratch`. Raises
        FileNotFoundError."""
        if "file" in self._files.protocol:
            path = Path(self._path(key))
            if not path.is_file():
                raise FileNotFoundError(key)
            yield path
            return
        path = scratch / "media"
        with self._files.open(self._path(key), "rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield path

    def delete(self, prefix: str) -> None:
        """Removes everything under a prefix, or the blob of that key; nothing there is no error."""
        path = self._path(prefix)
        if self._files.exists(path):
            self._files.rm(path, recursive=True)

    def untouched_jobs(self, seconds: float) -> list[str]:
        """Ids of the jobs under whose prefix nothing was written for so many seconds."""
        newest: dict[str, float] = {}
        before = time.time() - seconds
        jobs = self._path("jobs")
        if not self._files.exists(jobs):
            return []
        for path, about in self._files.find(jobs, withdirs=True, detail=True).items():
            job_id = path.removeprefix(jobs).strip("/").partition("/")[0]
            written = about.get("mtime") or about.get("LastModified") or 0.0
            at = written.timestamp() if isinstance(written, datetime) else float(written)
            newest[job_id] = max(newest.get(job_id, 0.0), at)
        return [job_id for job_id, at in newest.items() if job_id and at < before]

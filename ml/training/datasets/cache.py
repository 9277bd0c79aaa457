"""Cached files: named by a digest of what they depend on, and written completely or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(*parts: object) -> str:
    """Return a short digest of JSON values, the same on every machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def file_state(path: Path | None) -> tuple[str | int, ...]:
    """Return path, size and modification time of a file, which change with it; the path alone if it does not exist."""
    if path is None:
        return ()
    place = path.resolve()
    if not place.is_file():
        return (str(place),)
    status = place.stat()
    return str(place), status.st_size, status.st_mtime_ns


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)

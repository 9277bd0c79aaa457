"""Files that are made of examples once: named by what they depend on, and there whole or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(*parts: object) -> str:
    """A short name of JSON values, the same on every machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def file_state(path: Path | None) -> tuple[str | int, ...]:
    """What changes when a file does: its place, size and time; the place alone where there is no file."""
    if path is None:
        return ()
    place = path.resolve()
    if not place.is_file():
        return (str(place),)
    found = place.stat()
    return str(place), found.st_size, found.st_mtime_ns


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write what is to become `path`, by one rename, once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield staging
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)

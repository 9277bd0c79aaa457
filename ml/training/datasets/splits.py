"""Splits of sets that have none of their own: by a key (a person, a source), the same on every machine."""

import hashlib
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.datasets.example import Split


def split_by(key: str, valid: int = 10, test: int = 10) -> Split:
    """`valid` and `test`: per cent of all keys."""
    place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100
    if place < valid:
        return "valid"
    return "test" if place < valid + test else "train"


def needed(path: Path) -> Path:
    """The file or folder that a layout promises. Raises InvalidManifest when it is not there."""
    if not path.exists():
        there = next(parent for parent in path.parents if parent.exists())
        raise InvalidManifest(f"{there.resolve().name} has no {path.relative_to(there)}: not the published layout")
    return path


def files_below(root: Path, *endings: str) -> list[Path]:
    """Files whose names end so, in a stable order. Raises InvalidManifest when there are none."""
    needed(root)
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise InvalidManifest(f"{root.name} holds no file {', '.join(endings)}")
    return found

"""Splits of data sets that have none: by a key (a person, a source), the same on every machine."""

import hashlib
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.datasets.example import Split


def split_by(key: str, valid: int = 10, test: int = 10) -> Split:
    """Return the split of a key. `valid` and `test`: per cent of all keys."""
    place = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 100
    if place < valid:
        return "valid"
    return "test" if place < valid + test else "train"


def require(path: Path) -> Path:
    """Return a file or folder of the published layout. Raises InvalidManifest if it does not exist."""
    if not path.exists():
        existing = next(parent for parent in path.parents if parent.exists())
        missing = path.relative_to(existing)
        raise InvalidManifest(f"{existing.resolve().name} has no {missing}: not the published layout")
    return path


def files_below(root: Path, *endings: str) -> list[Path]:
    """Return the files with these name endings, in a stable order. Raises InvalidManifest if none exists."""
    require(root)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not files:
        raise InvalidManifest(f"{root.name} has no file {', '.join(endings)}")
    return files

"""Folder of your own data: files `<dataset>_<n>_<emotion>.<ext>`, with the name or the number of the emotion."""

import re
from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.labels import emotion_named
from ml.training.datasets.splits import files_below, split_by

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv")
_NAME = re.compile(r"(.+)_([^_]+)_([^_]+)")


def read_generic(root: Path) -> Iterator[Record]:
    """Read files in any folders.

    A folder within `root` counts as a speaker or source, with all of its files on one side of the split. Files directly
    in `root` are split one by one.
    """
    for path in files_below(root, *PICTURES, *SOUNDS, *VIDEOS):
        named = _NAME.fullmatch(path.stem)
        if named is None:
            yield SkippedRecord(path.name, "name of another form")
            continue
        label = emotion_named(named[3])
        if label is None:
            yield SkippedRecord(path.name, "unknown label")
            continue
        folder = path.parent.relative_to(root).as_posix()
        source = f"{named[1]}/{folder}" if folder != "." else None
        yield Example(
            label=label,
            dataset=named[1],
            split=split_by(source or f"{named[1]}_{named[2]}"),
            path=path,
            speaker=source,
        )

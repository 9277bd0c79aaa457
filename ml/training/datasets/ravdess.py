"""RAVDESS (Livingstone & Russo 2018): 24 actors speak and sing two sentences; sound, video or both. CC BY-NC-SA 4.0.

Files are named by seven numbers: modality, speech or song, emotion, intensity, sentence, repetition, actor.
"""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.splits import files_below
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "01": "neutral",
    "02": "neutral",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
"""Emotion by code. Calm (02) was acted as a second neutral."""
_VIDEO_ONLY = "02"
_DUPLICATES = frozenset({"03-01-03-01-02-02-07"})
"""Files with the same bytes as another one."""


def read_ravdess(root: Path) -> Iterator[Record]:
    """Read speech and song, sound and video, in any folders. Actors 19 to 24 are the test split, 1, 6, 11 and 16
    validation.

    Videos without sound are left out: those with sound show the same takes.
    """
    for path in files_below(root, ".wav", ".mp4"):
        fields = path.stem.split("-")
        if len(fields) != 7 or not all(field.isdecimal() and len(field) == 2 for field in fields):
            yield SkippedRecord(path.name, "name of another form")
        elif fields[2] not in _EMOTION:
            yield SkippedRecord(path.name, "unknown label")
        elif fields[0] == _VIDEO_ONLY:
            yield SkippedRecord(path.name, "video without sound")
        elif path.stem in _DUPLICATES:
            yield SkippedRecord(path.name, "same bytes as another file")
        else:
            yield _example(path, fields)


def _example(path: Path, fields: list[str]) -> Example:
    actor = int(fields[6])
    return Example(
        label=_EMOTION[fields[2]],
        dataset="ravdess" if fields[1] == "01" else "ravdess-song",
        split=_split(actor),
        path=path,
        speaker=f"ravdess/{actor:02}",
        gender="male" if actor % 2 else "female",
        language="en",
    )


def _split(actor: int) -> Split:
    if actor > 18:
        return "test"
    return "valid" if actor % 5 == 1 else "train"

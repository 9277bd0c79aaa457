"""SAVEE (Haq & Jackson 2009): four British men; research. `AudioData/DC/a01.wav`, `AudioVisualClip/DC/a1.avi`, or all
sounds in one folder as `DC_a01.wav`."""

import re
from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.splits import files_below
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}
_SPLIT: dict[str, Split] = {"DC": "train", "JE": "train", "JK": "valid", "KL": "test"}
_NAME = re.compile(r"(?:(DC|JE|JK|KL)_)?([a-z]{1,2})(\d{1,2})")


def read_savee(root: Path) -> Iterator[Record]:
    """Read two speakers as training split, and one each as validation and test."""
    for path in files_below(root, ".wav", ".avi"):
        named = _NAME.fullmatch(path.stem)
        speaker = (named[1] if named else None) or path.parent.name
        if named is None or speaker not in _SPLIT:
            yield SkippedRecord(path.name, "name of another form")
        elif named[2] not in _EMOTION:
            yield SkippedRecord(path.name, "unknown label")
        else:
            yield Example(
                label=_EMOTION[named[2]],
                dataset="savee",
                split=_SPLIT[speaker],
                path=path,
                speaker=f"savee/{speaker}",
                gender="male",
                language="en",
            )

"""TESS (Pichora-Fuller & Dupuis 2020): two Canadian women say 200 words; CC BY-NC-ND 4.0.

With two speakers it is no measure of new ones: the older is for training, the younger for validation.
"""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.splits import files_below
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}
"""Emotion by name; `ps` is pleasant surprise."""
_SPLIT: dict[str, Split] = {"OAF": "train", "YAF": "valid"}


def read_tess(root: Path) -> Iterator[Record]:
    """Read files named SPEAKER_WORD_EMOTION.wav, in any folders."""
    for path in files_below(root, ".wav"):
        fields = path.stem.split("_")
        speaker = "OAF" if fields[0] == "OA" else fields[0]  # one published file lacks its last letter
        if len(fields) != 3 or speaker not in _SPLIT:
            yield SkippedRecord(path.name, "name of another form")
        elif fields[2].lower() not in _EMOTION:
            yield SkippedRecord(path.name, "unknown label")
        else:
            yield Example(
                label=_EMOTION[fields[2].lower()],
                dataset="tess",
                split=_SPLIT[speaker],
                path=path,
                speaker=f"tess/{speaker}",
                gender="female",
                language="en",
            )

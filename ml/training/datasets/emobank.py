"""EmoBank (Buechel and Hahn 2017): English sentences with valence, arousal and dominance from 1 to 5; CC BY-SA 4.0."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ml.training.datasets.example import Example, Record, Split
from ml.training.datasets.sentence_files import sentence
from ml.training.datasets.tables import read_each, table

_SPLITS: Mapping[str, Split] = {"train": "train", "dev": "valid", "test": "test"}
_MIDDLE, _HALF_RANGE = 3.0, 2.0


def read_emobank(root: Path) -> Iterator[Record]:
    """Read `emobank.csv`, with the columns split, V, A, D and text. The sentences have no emotion."""
    return read_each(table(root / "emobank.csv", "split", "V", "A", "D", "text"), _rated)


def _rated(row: Mapping[str, str]) -> Example:
    valence, arousal, dominance = ((float(row[name]) - _MIDDLE) / _HALF_RANGE for name in "VAD")
    example = sentence(row["text"], [], "emobank", _SPLITS[row["split"]])
    return replace(example, dimensions=(valence, arousal, dominance))

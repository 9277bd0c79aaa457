"""RAF-DB, single labels (Li et al. 2017): faces of the web, labelled by forty people each; non-commercial research.

`EmoLabel/list_patition_label.txt` and `Image/aligned/train_00001_aligned.jpg`, below `basic` or not.
"""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.sentence_files import lines
from ml.training.datasets.splits import split_by
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happy",
    "5": "sad",
    "6": "angry",
    "7": "neutral",
}


def read_raf_db(root: Path) -> Iterator[Record]:
    """Read the authors' test split; a tenth of their training split is for validation."""
    basic = root / "basic" if (root / "basic").is_dir() else root
    for line in lines(basic / "EmoLabel" / "list_patition_label.txt"):
        name, _, number = line.partition(" ")
        path = basic / "Image" / "aligned" / f"{Path(name).stem}_aligned.jpg"
        if number.strip() not in _EMOTION:
            yield SkippedRecord(name, "unknown label")
        elif not path.is_file():
            yield SkippedRecord(name, "no such picture")
        else:
            yield Example(label=_EMOTION[number.strip()], dataset="raf-db", split=_split(name), path=path)


def _split(name: str) -> Split:
    return "test" if name.startswith("test") else split_by(name, valid=10, test=0)

"""CK+ (Lucey et al. 2010): sequences from a neutral face to the peak of an expression; non-commercial.

`cohn-kanade-images/S005/001/S005_001_00000001.png` and `Emotion/S005/001/S005_001_00000011_emotion.txt`.
"""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.splits import files_below, require, split_by
from ml.vocabulary import Emotion

_EMOTION: dict[float, Emotion] = {
    1: "angry",
    3: "disgust",
    4: "fear",
    5: "happy",
    6: "sad",
    7: "surprise",
}
PEAK_FRAMES = 3
"""Number of pictures from the end of a sequence that show the expression."""


def read_ck_plus(root: Path) -> Iterator[Record]:
    """Yield the last three pictures of each labelled sequence, and its first as neutral; split by person.

    Contempt (2) is not in the vocabulary.
    """
    require(root / "Emotion")
    for sequence in sorted({path.parent for path in files_below(root / "cohn-kanade-images", ".png")}):
        person = sequence.parent.name
        label_files = sorted((root / "Emotion" / person / sequence.name).glob("*_emotion.txt"))
        name = f"{person}/{sequence.name}"
        if not label_files:
            yield SkippedRecord(name, "no label")
            continue
        label = _label(label_files[0])
        if label is None:
            yield SkippedRecord(name, "unknown label")
            continue
        frames = files_below(sequence, ".png")
        yield _example(frames[0], "neutral", person)
        yield from (_example(frame, label, person) for frame in frames[1:][-PEAK_FRAMES:])


def _label(path: Path) -> Emotion | None:
    """Return the label of a file with `   3.0000000e+00`; None if it is not of the vocabulary, or not a number."""
    try:
        return _EMOTION.get(float(path.read_text()))
    except ValueError:
        return None


def _example(path: Path, label: Emotion, person: str) -> Example:
    return Example(label=label, dataset="ck-plus", split=split_by(person), path=path, speaker=f"ck-plus/{person}")

"""CK+ (Lucey et al. 2010): sequences from a neutral face to the peak of an expression; non-commercial.

`cohn-kanade-images/S005/001/S005_001_00000001.png` and `Emotion/S005/001/S005_001_00000011_emotion.txt`.
"""

from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.splits import files_below, needed, split_by
from ml.vocabulary import Emotion

_EMOTION: dict[float, Emotion] = {
    1: "angry",
    3: "disgust",
    4: "fear",
    5: "happy",
    6: "sad",
    7: "surprise",
}
PEAKS = 3


def read_ck_plus(root: Path) -> Iterator[Record]:
    """The last three pictures of each labelled sequence, and its first as neutral; split by person.

    Contempt (2) is none of the seven.
    """
    needed(root / "Emotion")
    for sequence in sorted({path.parent for path in files_below(root / "cohn-kanade-images", ".png")}):
        person = sequence.parent.name
        told = sorted((root / "Emotion" / person / sequence.name).glob("*_emotion.txt"))
        name = f"{person}/{sequence.name}"
        if not told:
            yield SkippedRecord(name, "no label")
            continue
        label = _label(told[0])
        if label is None:
            yield SkippedRecord(name, "unknown label")
            continue
        frames = files_below(sequence, ".png")
        yield _example(frames[0], "neutral", person)
        yield from (_example(frame, label, person) for frame in frames[1:][-PEAKS:])


def _label(told: Path) -> Emotion | None:
    """Of `   3.0000000e+00`; null when it is none of the seven, or no number."""
    try:
        return _EMOTION.get(float(told.read_text()))
    except ValueError:
        return None


def _example(path: Path, label: Emotion, person: str) -> Example:
    return Example(label=label, dataset="ck-plus", split=split_by(person), path=path, speaker=f"ck-plus/{person}")

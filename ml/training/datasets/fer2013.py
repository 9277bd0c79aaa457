"""FER2013 (Goodfellow et al. 2013) and FER+ (Barsoum et al. 2016): 48×48 grey faces of the web; research, votes MIT.

Both are read as folders of pictures; the published tables of pixels are first made into such folders.
"""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.labels import emotion_named
from ml.training.datasets.splits import files_below, require
from ml.training.datasets.tables import read_each, table
from ml.vocabulary import EMOTIONS, Emotion

TABLE, VOTES = "fer2013.csv", "fer2013new.csv"
_EMOTION: dict[str, Emotion] = {
    "0": "angry",
    "1": "disgust",
    "2": "fear",
    "3": "happy",
    "4": "sad",
    "5": "surprise",
    "6": "neutral",
}
_PART: dict[str, Split] = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
_FOLDER: dict[str, str] = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
_VOTED: dict[Emotion, str] = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
    "neutral": "neutral",
}
_OTHER_VOTES = ("contempt", "unknown", "NF")
_VOTES = ("Usage", "Image name", *_VOTED.values(), *_OTHER_VOTES)
_SIDE = 48


def unpack_fer2013(root: Path, folder: Path) -> Path:
    """Write the pictures of `fer2013.csv` to `train/angry/Training_0.png`, `test/sad/PublicTest_28709.png`, …

    Pictures of other labels go to the folder `unknown`. Return the folder to read.
    """
    if not (root / TABLE).exists():
        return root
    for number, row in enumerate(_pictures(root)):
        usage = row["Usage"]
        if usage not in _PART:
            raise InvalidManifest(f"{TABLE} has a part {usage!r}: there are {', '.join(_PART)}")
        part, label = "train" if usage == "Training" else "test", _EMOTION.get(row["emotion"].strip(), "unknown")
        _write(folder / part / label / f"{usage}_{number}.png", row["pixels"])
    return folder


def read_fer2013(root: Path) -> Iterator[Record]:
    """Read folders `train` and `test` with one folder per emotion. The public test is the validation split."""
    for folder in ("train", "test"):
        for path in files_below(require(root / folder), ".png", ".jpg", ".jpeg"):
            label = emotion_named(path.parent.name)
            if label is None:
                yield SkippedRecord(path.name, "unknown label")
                continue
            split = _PART.get(path.stem.split("_")[0], "train" if folder == "train" else "test")
            yield Example(label=label, dataset="fer2013", split=split, path=path)


def unpack_fer_plus(root: Path, folder: Path) -> Path:
    """Write `fer2013.csv` and `fer2013new.csv` to the authors' folders of pictures, with the votes; return it."""
    if not (root / TABLE).exists():
        return root
    for row, votes in zip_longest(_pictures(root), table(root / VOTES, *_VOTES)):
        if row is None or votes is None:
            raise InvalidManifest(f"{TABLE} and {VOTES} differ in length: they are not of the same pictures")
        if votes["Image name"] and votes["Usage"] in _FOLDER:
            _write(folder / _FOLDER[votes["Usage"]] / votes["Image name"], row["pixels"])
    (folder / VOTES).write_bytes((root / VOTES).read_bytes())
    return folder


def read_fer_plus(root: Path) -> Iterator[Record]:
    """Read ten votes per picture: the target has the share of each emotion, the label is the most frequent one.

    Pictures with most votes for contempt, unknown or no face are left out.
    """
    return read_each(table(root / VOTES, *_VOTES), partial(_voted, root))


def _voted(root: Path, row: dict[str, str]) -> Record:
    name = row["Image name"]
    votes = np.array([int(row[_VOTED[emotion]]) for emotion in EMOTIONS], float)
    if not name or max(int(row[other]) for other in _OTHER_VOTES) >= votes.max():
        return SkippedRecord(name, "none of the seven")
    path = root / _FOLDER[row["Usage"]] / name
    if not path.is_file():
        return SkippedRecord(name, "no such picture")
    return Example(
        label=EMOTIONS[int(votes.argmax())],
        dataset="fer-plus",
        split=_PART[row["Usage"]],
        path=path,
        target=tuple(votes / votes.sum()),
    )


def _pictures(root: Path) -> Iterator[dict[str, str]]:
    return table(root / TABLE, "emotion", "pixels", "Usage")


def _write(path: Path, pixels: str) -> None:
    try:
        image: NDArray[np.uint8] = np.array(pixels.split(), np.uint8).reshape(_SIDE, _SIDE)
    except (ValueError, OverflowError) as error:
        raise InvalidManifest(f"a row of the table does not have {_SIDE * _SIDE} pixels from 0 to 255") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)

"""FER2013 (Goodfellow et al. 2013) and FER+ (Barsoum et al. 2016): 48×48 grey faces of the web; research, votes MIT.

Both are read as folders of pictures; the published tables of pixels are first made into such folders.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example, Found, Skipped, Split
from ml.training.datasets.labels import emotion_named
from ml.training.datasets.splits import files_below, needed
from ml.vocabulary import EMOTIONS, Emotion

TABLE, VOTES = "fer2013.csv", "fer2013new.csv"
_EMOTION: tuple[Emotion, ...] = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
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
_SIDE = 48


def unpack_fer2013(root: Path, folder: Path) -> Path:
    """`fer2013.csv` → `train/angry/Training_0.png`, `test/sad/PublicTest_28709.png`, …; returns where to read from."""
    if not (root / TABLE).exists():
        return root
    for number, row in enumerate(_table(root / TABLE)):
        label = _EMOTION[int(row["emotion"])]
        part = "train" if row["Usage"] == "Training" else "test"
        _write(folder / part / label / f"{row['Usage']}_{number}.png", row["pixels"])
    return folder


def read_fer2013(root: Path) -> Iterator[Found]:
    """Folders `train` and `test` with one folder an emotion. The public test is the validation part."""
    for folder in ("train", "test"):
        for path in files_below(needed(root / folder), ".png", ".jpg", ".jpeg"):
            label = emotion_named(path.parent.name)
            if label is None:
                yield Skipped(path.name, "unknown label")
                continue
            split = _PART.get(path.stem.split("_")[0], "train" if folder == "train" else "test")
            yield Example(label=label, dataset="fer2013", split=split, path=path)


def unpack_fer_plus(root: Path, folder: Path) -> Path:
    """`fer2013.csv` beside `fer2013new.csv` → the authors' folders of pictures, and the votes."""
    if not (root / TABLE).exists():
        return root
    with needed(root / VOTES).open(newline="") as file:
        voted = list(csv.DictReader(file))
    for row, votes in zip(_table(root / TABLE), voted, strict=True):
        if votes["Image name"]:
            _write(folder / _FOLDER[votes["Usage"]] / votes["Image name"], row["pixels"])
    (folder / VOTES).write_bytes((root / VOTES).read_bytes())
    return folder


def read_fer_plus(root: Path) -> Iterator[Found]:
    """Ten votes a picture: the target is the share of each of the seven, the label the one most seen.

    Left out: pictures most often seen as contempt, as nothing known, or as no face.
    """
    with needed(root / VOTES).open(newline="") as file:
        for row in csv.DictReader(file):
            name = row["Image name"]
            path = root / _FOLDER[row["Usage"]] / name
            votes = np.array([int(row[_VOTED[emotion]]) for emotion in EMOTIONS], float)
            if not name or max(int(row[other]) for other in _OTHER_VOTES) >= votes.max():
                yield Skipped(name, "none of the seven")
            elif not path.is_file():
                yield Skipped(name, "no such picture")
            else:
                yield Example(
                    label=EMOTIONS[int(votes.argmax())],
                    dataset="fer-plus",
                    split=_PART[row["Usage"]],
                    path=path,
                    target=tuple(votes / votes.sum()),
                )


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as file:
        table = csv.DictReader(file)
        if not {"emotion", "pixels", "Usage"} <= set(table.fieldnames or ()):
            raise InvalidManifest(f"{path.name} needs the columns emotion, pixels and Usage")
        yield from table


def _write(path: Path, pixels: str) -> None:
    values = pixels.split()
    if len(values) != _SIDE * _SIDE:
        raise InvalidManifest(f"a row of the table has {len(values)} pixels, not {_SIDE * _SIDE}")
    image: NDArray[np.uint8] = np.array(values, np.uint8).reshape(_SIDE, _SIDE)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)

"""OMG-Emotion (Barros et al. 2018): stretches of web videos, labelled by a majority; CC BY-NC-SA 3.0.

`omg_TrainVideos.csv`, `omg_ValidationVideos.csv` and, if published, `omg_TestVideos_WithLabels.csv` name the video,
start, end and utterance; the videos are below `videos/` as VIDEO.mp4, or as VIDEO/UTTERANCE.mp4, cut already.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.splits import require
from ml.training.datasets.tables import read_each, table
from ml.vocabulary import Emotion

_EMOTION: dict[str, Emotion] = {
    "0": "angry",
    "1": "disgust",
    "2": "fear",
    "3": "happy",
    "4": "neutral",
    "5": "sad",
    "6": "surprise",
}
_LISTS: tuple[tuple[str, Split], ...] = (
    ("omg_TrainVideos.csv", "train"),
    ("omg_ValidationVideos.csv", "valid"),
)
_TEST = "omg_TestVideos_WithLabels.csv"
_COLUMNS = ("video", "utterance", "start", "end", "EmotionMaxVote")


def read_omg(root: Path) -> Iterator[Record]:
    """Yield one example per utterance; its speaker is the video that it is from."""
    for name, split in _LISTS:
        yield from _read_list(require(root / name), split)
    if (root / _TEST).exists():
        yield from _read_list(root / _TEST, "test")


def _read_list(path: Path, split: Split) -> Iterator[Record]:
    return read_each(table(path, *_COLUMNS), partial(_utterance, path.parent / "videos", split))


def _utterance(videos: Path, split: Split, row: dict[str, str]) -> Record:
    name = f"{row['video']}/{row['utterance']}"
    label = _EMOTION[row["EmotionMaxVote"]]
    cut, whole = (videos / name).is_file(), videos / f"{row['video']}.mp4"
    if not cut and not whole.is_file():
        return SkippedRecord(name, "no such video")
    start, end = (None, None) if cut else (float(row["start"]), float(row["end"]))
    if start is not None and end is not None and not 0 <= start < end:
        return SkippedRecord(name, "impossible time stamps")
    return Example(
        label=label,
        dataset="omg",
        split=split,
        path=videos / name if cut else whole,
        speaker=f"omg/{row['video']}",
        language="en",
        start=start,
        end=end,
    )

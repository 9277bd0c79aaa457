"""OMG-Emotion (Barros et al. 2018): stretches of web videos, labelled by a majority; CC BY-NC-SA 3.0.

`omg_TrainVideos.csv`, `omg_ValidationVideos.csv` and, where given out, `omg_TestVideos_WithLabels.csv` name the video,
start, end and utterance; the videos lie below `videos/` as VIDEO.mp4, or as VIDEO/UTTERANCE.mp4, cut already.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Found, Skipped, Split
from ml.training.datasets.splits import needed
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


def read_omg(root: Path) -> Iterator[Found]:
    """One example an utterance; the speaker is the video that it is from."""
    for name, split in _LISTS:
        yield from _read_list(needed(root / name), split)
    if (root / _TEST).exists():
        yield from _read_list(root / _TEST, "test")


def _read_list(table: Path, split: Split) -> Iterator[Found]:
    videos = table.parent / "videos"
    with table.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            utterance = f"{row['video']}/{row['utterance']}"
            cut, whole = videos / utterance, videos / f"{row['video']}.mp4"
            if row["EmotionMaxVote"] not in _EMOTION:
                yield Skipped(utterance, "unknown label")
            elif not (cut.is_file() or whole.is_file()):
                yield Skipped(utterance, "no such video")
            else:
                yield Example(
                    label=_EMOTION[row["EmotionMaxVote"]],
                    dataset="omg",
                    split=split,
                    path=cut if cut.is_file() else whole,
                    speaker=f"omg/{row['video']}",
                    language="en",
                    start=None if cut.is_file() else float(row["start"]),
                    end=None if cut.is_file() else float(row["end"]),
                )

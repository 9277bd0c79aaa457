"""MELD (Poria et al. 2019): dialogue of a television series, as words and as clips; GPL-3.0 repository.

`{train,dev,test}_sent_emo.csv` list the utterances; the clips lie as `dia0_utt0.mp4` in `train_splits`,
`dev_splits_complete` and `output_repeated_splits_test`. Where one has the episodes instead (`episodes/s08e21.mp4`),
utterances are cut out by their time stamps.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example, Found, Skipped, Split
from ml.training.datasets.sentences import emotions, read_file, sentence, train_and_valid
from ml.vocabulary import Sentiment

_FOLDERS: dict[Split, str] = {
    "train": "train_splits",
    "valid": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d+)")


def read_meld(root: Path) -> Iterator[Example]:
    """The words alone, with emotion, sentiment and speaker; of the test part where its list is there."""
    for split, row in _rows(root):
        sentiment: Sentiment = row["Sentiment"]  # type: ignore[assignment]
        yield sentence(row["Utterance"], emotions([row["Emotion"]]), "meld", split, sentiment, row["Speaker"])


def read_meld_clips(root: Path) -> Iterator[Found]:
    """The utterances as they are seen and heard, with their words."""
    for split, row in _rows(root):
        name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
        found = emotions([row["Emotion"]])
        clip = root / _FOLDERS[split] / name
        episode = root / "episodes" / f"s{int(row['Season']):02}e{int(row['Episode']):02}.mp4"
        start, end = _seconds(row["StartTime"]), _seconds(row["EndTime"])
        if not found:
            yield Skipped(name, "unknown label")
        elif clip.is_file():
            yield _clip(row, split, clip, None, None)
        elif not episode.is_file():
            yield Skipped(name, "no such clip")
        elif start is None or end is None or end <= start:
            yield Skipped(name, "time stamps that cannot be")
        else:
            yield _clip(row, split, episode, start, end)


def _rows(root: Path) -> Iterator[tuple[Split, dict[str, str]]]:
    for file, split in train_and_valid(root, "train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"):
        table = csv.DictReader(read_file(file).splitlines())
        if not {"Utterance", "Speaker", "Emotion", "Sentiment"} <= set(table.fieldnames or ()):
            raise InvalidManifest(f"{file.name} is not a list of MELD")
        for row in table:
            yield split, row


def _clip(row: dict[str, str], split: Split, path: Path, start: float | None, end: float | None) -> Example:
    return Example(
        label=emotions([row["Emotion"]])[0],
        dataset="meld-clips",
        split=split,
        path=path,
        text=row["Utterance"],
        speaker=f"meld/{row['Speaker']}",
        language="en",
        start=start,
        end=end,
    )


def _seconds(told: str) -> float | None:
    """`00:16:16,059` → 976.059."""
    found = _TIME.fullmatch(told.strip())
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")

"""MELD (Poria et al. 2019): dialogue of a television series, as words and as clips; GPL-3.0 repository.

`{train,dev,test}_sent_emo.csv` list the utterances; the clips are `dia0_utt0.mp4` in `train_splits`,
`dev_splits_complete` and `output_repeated_splits_test`. If the episodes are there instead
(`episodes/s08e21.mp4`), utterances are pieces of them, by their time stamps.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ml.training.datasets.example import Example, Record, SkippedRecord, Split
from ml.training.datasets.sentence_files import read_file, sentence, train_and_valid
from ml.training.datasets.tables import read_each, rows_of
from ml.vocabulary import EMOTION_SYNONYMS, SENTIMENTS, Sentiment

_FOLDERS: dict[Split, str] = {
    "train": "train_splits",
    "valid": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_WORDS = ("Utterance", "Speaker", "Emotion", "Sentiment")
_CLIPS = (*_WORDS, "Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime")
_SENTIMENT: dict[str, Sentiment] = {name: name for name in SENTIMENTS}
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d+)")


def read_meld(root: Path) -> Iterator[Record]:
    """Read the words alone, with emotion, sentiment and speaker; the test split if its list exists."""
    for rows, split in _tables(root, _WORDS):
        yield from read_each(rows, partial(_words, split))


def read_meld_clips(root: Path) -> Iterator[Record]:
    """Read the clips of the utterances, with their words."""
    for rows, split in _tables(root, _CLIPS):
        yield from read_each(rows, partial(_seen, root, split))


def _tables(root: Path, columns: Sequence[str]) -> Iterator[tuple[Iterator[dict[str, str]], Split]]:
    for path, split in train_and_valid(root, "train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"):
        yield _with_context(rows_of(read_file(path).splitlines(), path.name, *columns)), split


def _with_context(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Add the preceding sentences of the dialogue as column `Before`, if the list has dialogue ids."""
    utterances: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        earlier = utterances[row["Dialogue_ID"]] if "Dialogue_ID" in row else []
        yield row | {"Before": " ".join(earlier)}
        earlier.append(row["Utterance"])


def _words(split: Split, row: dict[str, str]) -> Example:
    labels = [EMOTION_SYNONYMS[row["Emotion"]]]
    example = sentence(row["Utterance"], labels, "meld", split, _SENTIMENT[row["Sentiment"]], row["Speaker"])
    return replace(example, before=row["Before"] or None)


def _seen(root: Path, split: Split, row: dict[str, str]) -> Record:
    example = Example(
        label=EMOTION_SYNONYMS[row["Emotion"]],
        dataset="meld-clips",
        split=split,
        text=row["Utterance"],
        speaker=f"meld/{row['Speaker']}",
        language="en",
        before=row["Before"] or None,
    )
    name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
    clip = root / _FOLDERS[split] / name
    if clip.is_file():
        return replace(example, path=clip)
    episode = root / "episodes" / f"s{int(row['Season']):02}e{int(row['Episode']):02}.mp4"
    if not episode.is_file():
        return SkippedRecord(name, "no such clip")
    start, end = _seconds(row["StartTime"]), _seconds(row["EndTime"])
    if start is None or end is None or end <= start:
        return SkippedRecord(name, "impossible time stamps")
    return replace(example, path=episode, start=start, end=end)


def _seconds(time: str) -> float | None:
    """Return the seconds of a time stamp: `00:16:16,059` → 976.059. None if it has another form."""
    match = _TIME.fullmatch(time.strip())
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")

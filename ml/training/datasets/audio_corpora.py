"""Recordings of single utterances, listed by a `manifest.csv` of path, label, dataset, speaker, gender, language."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example, Record, SkippedRecord
from ml.training.datasets.tables import read_each, table
from ml.vocabulary import EMOTION_SYNONYMS

FOLDS = 5
_DUPLICATES = frozenset({"03-01-03-01-02-02-07"})
"""Files of RAVDESS with the same bytes as another one."""


def read_voices(root: Path, fold: int | None = 0, left_out: Collection[str] = ()) -> Iterator[Record]:
    """Yield the examples of `root/manifest.csv`. The speakers of `fold` (0 … 4) are for validation; None: all train.

    The corpora `left_out` are the test part. RAVDESS is folded by actor, (actor − 1) mod 5; other corpora by the rank
    of the speaker's name. Raises InvalidManifest if the list cannot be read.
    """
    rows = list(table(root / "manifest.csv", "path", "label", "dataset", "speaker", "gender", "language"))
    folds = {
        dataset: _folds(row["speaker"] for row in rows if row["dataset"] == dataset) for dataset in _datasets(rows)
    }

    def read(row: dict[str, str]) -> Record:
        dataset, speaker = row["dataset"], row["speaker"]
        if Path(row["path"]).stem in _DUPLICATES:
            return SkippedRecord(row["path"], "same bytes as another file")
        return Example(
            label=EMOTION_SYNONYMS[row["label"]],
            dataset=dataset,
            split="test" if dataset in left_out else "valid" if folds[dataset][speaker] == fold else "train",
            path=root / row["path"],
            speaker=f"{dataset}/{speaker}",
            gender=row["gender"] or None,
            language=row["language"] or None,
        )

    return read_each(rows, read)


def split_in_folds(examples: Sequence[Example], fold: int, folds: int) -> list[Example]:
    """Split the examples by speaker: those of `fold` are for validation, all others to train on.

    Speakers of each data set are assigned in the order of their names, numbers as numbers. Raises InvalidManifest if an
    example has no speaker.
    """
    if any(example.speaker is None for example in examples):
        raise InvalidManifest("folds need a speaker in every row")
    places: dict[str | None, int] = {}
    for dataset in {example.dataset for example in examples}:
        own = {example.speaker or "" for example in examples if example.dataset == dataset}
        places |= {speaker: place % folds for place, speaker in enumerate(sorted(own, key=_by_number))}
    return [replace(e, split="valid" if places[e.speaker] == fold else "train") for e in examples]


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts `a2` before `a10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _datasets(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["dataset"] for row in rows})


def _folds(speakers: Iterator[str]) -> dict[str, int]:
    return {speaker: place % FOLDS for place, speaker in enumerate(sorted(set(speakers)))}

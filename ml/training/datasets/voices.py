"""Recordings of single utterances, listed by a `manifest.csv` of path, label, dataset, speaker, gender, language."""

import csv
from collections.abc import Iterator
from pathlib import Path

from ml.training.datasets.example import Example, Split

FOLDS = 5
HELD_OUT = frozenset({"tess", "urdu"})
"""Never trained on: two women alone, and a corpus to see how far the net carries."""

_TWINS = frozenset({"03-01-03-01-02-02-07"})
"""Files of RAVDESS that are the same bytes as another one."""


def read_voices(root: Path, fold: int | None = 0) -> Iterator[Example]:
    """The examples of `root/manifest.csv`; the speakers of `fold` (0 … 4) are the validation part, with none all train.

    RAVDESS is folded by actor, (actor − 1) mod 5; the other corpora by the place of the speaker's name among their own.
    """
    with (root / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if Path(row["path"]).stem not in _TWINS]
    folds = {
        dataset: _folds(row["speaker"] for row in rows if row["dataset"] == dataset) for dataset in _datasets(rows)
    }
    for row in rows:
        dataset = row["dataset"]
        yield Example(
            label=row["label"],  # type: ignore[arg-type]
            dataset=dataset,
            split=_split(dataset, folds[dataset][row["speaker"]], fold),
            path=root / row["path"],
            speaker=f"{dataset}/{row['speaker']}",
            gender=row["gender"] or None,
            language=row["language"] or None,
        )


def _datasets(rows: list[dict[str, str]]) -> list[str]:
    return sorted({row["dataset"] for row in rows})


def _folds(speakers: Iterator[str]) -> dict[str, int]:
    return {speaker: place % FOLDS for place, speaker in enumerate(sorted(set(speakers)))}


def _split(dataset: str, own: int, fold: int | None) -> Split:
    if dataset in HELD_OUT:
        return "test"
    return "valid" if own == fold else "train"

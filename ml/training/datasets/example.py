"""Labelled example, the record that every data set reader yields."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ml.vocabulary import EMOTIONS, Emotion, Sentiment

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """One labelled picture, recording or sentence.

    Either `path` or `text` is set. `label`: None if only a sentiment is known. `target` is a soft target over
    `EMOTIONS`, if votes of annotators or several labels are known. `speaker` is the person or source that must not be
    on two sides of a split. `start` and `end` are seconds of the file, if the example is a piece of it. `before`:
    preceding sentences of the same dialogue. `dimensions`: valence, arousal and dominance, each −1 … 1.
    """

    label: Emotion | None
    dataset: str
    split: Split
    path: Path | None = None
    text: str | None = None
    speaker: str | None = None
    gender: str | None = None
    language: str | None = None
    target: tuple[float, ...] | None = None
    sentiment: Sentiment | None = None
    start: float | None = None
    end: float | None = None
    before: str | None = None
    dimensions: tuple[float, float, float] | None = None

    @property
    def index(self) -> int:
        """Index of the label in `EMOTIONS`. Raises ValueError if there is no label."""
        if self.label is None:
            raise ValueError("the example has no emotion")
        return EMOTIONS.index(self.label)


@dataclass(frozen=True)
class SkippedRecord:
    """Record that a reader skipped, and why: counted, never fatal."""

    name: str
    reason: str


Record = Example | SkippedRecord


def without_skipped(records: Iterable[Record]) -> tuple[list[Example], Counter[str]]:
    """Return the examples, and the number of skipped records by reason."""
    examples, reasons = [], Counter[str]()
    for record in records:
        if isinstance(record, Example):
            examples.append(record)
        else:
            reasons[record.reason] += 1
    return examples, reasons


def examples_of(records: Iterable[Record]) -> list[Example]:
    """Return the examples, for training; the number of skipped records is logged."""
    examples, reasons = without_skipped(records)
    for reason, count in reasons.most_common():
        logger.info("skipped, %s: %d", reason, count)
    return examples


def counts(examples: Iterable[Example]) -> dict[tuple[str, Split, Emotion | None], int]:
    """Return the number of examples by data set, split and label."""
    return dict(Counter((example.dataset, example.split, example.label) for example in examples))

"""The manifest type that every data set reader yields."""

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

    Either `path` or `text` is set. `label` is null where only a sentiment is known. `target` is a soft target over
    `EMOTIONS` where annotators' votes, or several labels, are known.
    `speaker` is the person or source that must not be on two sides of a split. `start` and `end` are seconds of the
    file, where only a piece of it is meant. `before`: what was said before the text, in the same dialogue.
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

    @property
    def index(self) -> int:
        """The label's place in `EMOTIONS`. Raises ValueError when there is no label."""
        if self.label is None:
            raise ValueError("the example has no emotion")
        return EMOTIONS.index(self.label)


@dataclass(frozen=True)
class SkippedRecord:
    """What a reader left out, and why: counted, never fatal."""

    what: str
    reason: str


Record = Example | SkippedRecord


def sorted_out(found: Iterable[Record]) -> tuple[list[Example], Counter[str]]:
    """The examples, and how many were skipped for which reason."""
    examples, reasons = [], Counter[str]()
    for one in found:
        if isinstance(one, Example):
            examples.append(one)
        else:
            reasons[one.reason] += 1
    return examples, reasons


def examples_of(found: Iterable[Record]) -> list[Example]:
    """The examples alone, for training; how many were skipped is logged."""
    examples, reasons = sorted_out(found)
    for reason, count in reasons.most_common():
        logger.info("skipped, %s: %d", reason, count)
    return examples


def counts(examples: Iterable[Example]) -> dict[tuple[str, Split, Emotion | None], int]:
    """How many examples there are by data set, split and label."""
    return dict(Counter((example.dataset, example.split, example.label) for example in examples))

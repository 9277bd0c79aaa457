"""What the text net learns from: sentences with their targets, and how much each counts."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ml.networks.tokens import Tokens, clean_text
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples
from ml.training.datasets.text_corpora import read_sentences
from ml.vocabulary import EMOTIONS, SENTIMENTS

EMOTION_WEIGHT = {"goemotions": 1.0, "meld": 1.5, "xed": 0.5, "semeval2018": 0.5, "sst": 0.0}
"""What a sentence of a data set counts. XED's labels are the noisiest; MELD is small, and nearest to what is served."""
COMMERCIAL_SETS = ("goemotions", "xed")
"""Apache-2.0 and CC BY 4.0: weights trained on these alone may be used commercially."""
HELD_OUT_SETS = ("isear",)
DATA = {
    "goemotions": "GoEmotions train (Apache-2.0)",
    "meld": "MELD train (GPL-3.0 repository, TV dialogue)",
    "xed": "XED English (CC BY 4.0)",
    "semeval2018": "SemEval-2018 Task 1 E-c English train (research)",
    "sst": "Stanford Sentiment Treebank, five classes, train",
}
SAME_WORDS = 5
"""Sentences of fewer words are said by everyone: the same ones in training and validation are no leak."""


@dataclass(frozen=True)
class Sentences:
    """Token ids, and the examples that they are of."""

    tokens: list[Tokens]
    examples: list[Example]

    @cached_property
    def targets(self) -> Tensor:
        """Soft emotion targets [N, 7]; zeros where there is none."""
        none = (0.0,) * len(EMOTIONS)
        return torch.tensor([example.target or none for example in self.examples])

    @cached_property
    def weights(self) -> Tensor:
        return torch.tensor([EMOTION_WEIGHT.get(example.dataset, 1.0) for example in self.examples])

    @cached_property
    def sentiments(self) -> Tensor:
        """Indices into SENTIMENTS [N], −1 where it is not known."""
        return torch.tensor([SENTIMENTS.index(e.sentiment) if e.sentiment else -1 for e in self.examples])


def read_sides(args: argparse.Namespace, sets: Sequence[str]) -> tuple[list[Example], list[Example]]:
    return listed_sentences(args.data) if args.data.is_file() else read_data(args.data, sets)


def read_data(data: Path, names: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """Training and validation examples; what is in both counts for validation alone."""
    return hold_out(list(read_sentences(data, names)))


def listed_sentences(path: Path) -> tuple[list[Example], list[Example]]:
    """Both sides of a list; a label without a target of its own is the target."""
    examples = [
        replace(e, target=tuple(float(name == e.label) for name in EMOTIONS)) if e.label and not e.target else e
        for e in read_examples(path)
        if e.text
    ]
    return hold_out(examples)


def hold_out(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Training and validation examples; what is in both counts for validation alone."""
    held_out = [example for example in examples if example.split != "train"]
    known = {_same(example) for example in held_out} - {None}
    return [e for e in examples if e.split == "train" and _same(e) not in known], held_out


def _same(example: Example) -> str | None:
    words = clean_text(example.text or "").casefold().split()
    return " ".join(words) if len(words) >= SAME_WORDS else None


def one_label(example: Example) -> bool:
    return example.target is not None and max(example.target) == 1.0

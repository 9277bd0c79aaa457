"""Training data of the text network: sentences, their targets and their weights."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks.text import DIMENSIONS
from ml.networks.tokens import Tokens, clean_text
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples
from ml.training.datasets.text_corpora import read_sentences
from ml.training.recipes.text.config import EMOTION_WEIGHT, TextTrainConfig
from ml.vocabulary import EMOTIONS, SENTIMENTS

COMMERCIAL_SETS = ("goemotions", "xed", "brighter", "xed-projections", "emobank")
"""Data sets under Apache-2.0, CC BY 4.0 and CC BY-SA 4.0: weights trained on these alone may be used commercially."""
ATTRIBUTION = {
    "xed": "XED (CC BY 4.0)",
    "brighter": "BRIGHTER (CC BY 4.0)",
    "emobank": "EmoBank (CC BY-SA 4.0)",
}
"""Those of them that ask to be named, with their licence."""
DATA = {
    "goemotions": "GoEmotions train (Apache-2.0)",
    "meld": "MELD train (GPL-3.0 repository, TV dialogue)",
    "xed": "XED English (CC BY 4.0)",
    "semeval2018": "SemEval-2018 Task 1 E-c English train (research)",
    "sst": "Stanford Sentiment Treebank, five classes, train",
    "brighter": "BRIGHTER train, 28 languages (CC BY 4.0)",
    "xed-projections": "XED projections, 41 languages (CC BY 4.0)",
    "emobank": "EmoBank train, valence, arousal and dominance (CC BY-SA 4.0)",
}
KeyT = TypeVar("KeyT", bound=Hashable)
MIN_WORDS_OF_DUPLICATE = 5
"""Minimum number of words of a sentence that may not be in both training and validation.

Shorter ones are common phrases, which are no leak.
"""


@dataclass(frozen=True)
class Sentences:
    """Sentences as token ids, and their examples."""

    tokens: list[Tokens]
    examples: list[Example]

    def with_words(self) -> "Sentences":
        """Return the sentences that have tokens: a mean over none would be no number."""
        kept = [pair for pair in zip(self.tokens, self.examples, strict=True) if pair[0].sentence]
        return Sentences([tokens for tokens, _ in kept], [example for _, example in kept])

    @cached_property
    def targets(self) -> Tensor:
        """Return soft emotion targets [N, 7]; zeros for sentences without a target."""
        zeros = (0.0,) * len(EMOTIONS)
        return torch.tensor([example.target or zeros for example in self.examples])

    @cached_property
    def weights(self) -> Tensor:
        return torch.tensor([EMOTION_WEIGHT.get(set_of(example.dataset), 1.0) for example in self.examples])

    @cached_property
    def sentiments(self) -> Tensor:
        """Return indices into SENTIMENTS [N]; −1 if the sentiment is unknown."""
        return torch.tensor([SENTIMENTS.index(e.sentiment) if e.sentiment else -1 for e in self.examples])

    @cached_property
    def dimensions(self) -> Tensor:
        """Return valence, arousal and dominance [N, 3]; NaN if they are unknown."""
        unknown = (math.nan,) * len(DIMENSIONS)
        return torch.tensor([example.dimensions or unknown for example in self.examples])


def set_of(dataset: str) -> str:
    """Return the name under which a data set is trained on: `brighter-deu` → `brighter`."""
    parts = dataset.split("-")
    names = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in EMOTION_WEIGHT), dataset)


def read_sides(config: TextTrainConfig, datasets: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """Return training and held-out examples. Raises InvalidManifest if they cannot be read, or a limit is malformed."""
    limits = dict(map(_limit, config.limits))
    examples, held_out = listed_sentences(config.data) if config.data.is_file() else read_data(config.data, datasets)
    return take_limited(examples, limits), held_out


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in EMOTION_WEIGHT or not number.isdecimal():
        raise InvalidManifest(f"--limits takes DATASET=NUMBER, not {text!r}")
    return name, int(number)


def take_limited(examples: Sequence[Example], limits: Mapping[str, int]) -> list[Example]:
    """Return the examples without those beyond the limit of their set and language, in a stable random order."""
    if not limits:
        return list(examples)
    return _take(examples, lambda each: (set_of(each.dataset), each.language), lambda key: limits.get(key[0]))


def take_each(examples: Sequence[Example], limit: int) -> list[Example]:
    """Return at most `limit` examples of each data set, in a stable random order."""
    return _take(examples, lambda each: each.dataset, lambda _: limit)


def _take(
    examples: Sequence[Example], key_of: Callable[[Example], KeyT], limit_of: Callable[[KeyT], int | None]
) -> list[Example]:
    counts: Counter[KeyT] = Counter()
    taken = []
    for example in sorted(examples, key=_shuffled):
        key = key_of(example)
        limit = limit_of(key)
        counts[key] += 1
        if limit is None or counts[key] <= limit:
            taken.append(example)
    return taken


def _shuffled(example: Example) -> bytes:
    return hashlib.sha256(f"{example.dataset} {example.text}".encode()).digest()


def read_data(data: Path, names: Sequence[str]) -> tuple[list[Example], list[Example]]:
    """Return training and held-out examples. Sentences that are in both are held out."""
    return hold_out(list(read_sentences(data, names)))


def listed_sentences(path: Path) -> tuple[list[Example], list[Example]]:
    """Return both sides of a list. A label stands in for a missing target."""
    examples = [
        replace(e, target=tuple(float(name == e.label) for name in EMOTIONS)) if e.label and not e.target else e
        for e in read_examples(path)
        if e.text
    ]
    return hold_out(examples)


def hold_out(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Return training and held-out examples. Sentences that are in both are held out."""
    held_out = [example for example in examples if example.split != "train"]
    known = {_duplicate_key(example) for example in held_out} - {None}
    return [e for e in examples if e.split == "train" and _duplicate_key(e) not in known], held_out


def _duplicate_key(example: Example) -> str | None:
    words = clean_text(example.text or "").casefold().split()
    return " ".join(words) if len(words) >= MIN_WORDS_OF_DUPLICATE else None


def has_one_label(example: Example) -> bool:
    return example.target is not None and max(example.target) == 1.0

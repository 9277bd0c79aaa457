"""Sentences → tokens, the same way in training and in serving."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

MOST_CHARACTERS = 4_000
"""What comes after is not read: far more than the tokens that a model sees."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_REPEATED = re.compile(r"(\S)\1{3,}")
# The planes of pictographs, and the older symbols that are shown as pictures.
_PICTURE = re.compile("([\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff])[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*")
_PICTURES_IN_A_ROW = 3


def clean_text(text: str) -> str:
    """One line of text: pictures by their Unicode names, no links, no runs of one character longer than three.

    The start's vocabulary knows no emoji, but it knows the words of their names.
    """
    text = unicodedata.normalize("NFC", text[:MOST_CHARACTERS])
    text = _REPEATED.sub(lambda run: run[1] * _PICTURES_IN_A_ROW, _LINK.sub(" ", text))
    return " ".join(_PICTURE.sub(_named, text).split())


def _named(picture: re.Match[str]) -> str:
    return f" {unicodedata.name(picture[1], '').lower()} "


@dataclass(frozen=True)
class TokenBatch:
    """Token ids and mask [N, T] of sentences of about one length, and their rows in the caller's order."""

    rows: list[int]
    ids_NT: NDArray[np.int64]
    mask_NT: NDArray[np.int64]


class SentenceTokenizer:
    """The tokenizer that is stored beside a model's weights; sentences longer than `most_tokens` are cut."""

    def __init__(self, tokenizer: Tokenizer, most_tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(most_tokens)
        self._tokenizer = tokenizer
        self._empty = len(tokenizer.encode("").ids)

    @classmethod
    def read(cls, path: Path, most_tokens: int) -> Self:
        """From a `tokenizer.json`."""
        return cls(Tokenizer.from_buffer(path.read_bytes()), most_tokens)

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Token ids of each sentence, cleaned; of one without words, an empty list."""
        encoded = self._tokenizer.encode_batch([clean_text(sentence) for sentence in sentences])
        return [found.ids if len(found.ids) > self._empty else [] for found in encoded]


def padded(tokens: Sequence[Sequence[int]], rows: Sequence[int]) -> TokenBatch:
    """The named rows of `tokens` as one batch, padded to the longest of them."""
    longest = max(len(tokens[row]) for row in rows)
    ids_NT = np.zeros((len(rows), longest), np.int64)
    mask_NT = np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        ids_NT[place, : len(tokens[row])] = tokens[row]
        mask_NT[place, : len(tokens[row])] = 1
    return TokenBatch(list(rows), ids_NT, mask_NT)

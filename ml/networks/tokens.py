"""Sentences → tokens, the same way in training and in serving."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

MAX_CHARACTERS = 4_000
"""Of a text; no more are read: far more than the tokens that a model sees."""

SENTENCE, BEFORE = 1, 2
"""Of a mask: a token of the sentence, and of what was said before it."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_REPEATED = re.compile(r"(\S)\1{3,}")
# The planes of pictographs, and the older symbols that are shown as pictures.
_PICTURE = re.compile("([\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff])[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*")
_PICTURES_IN_A_ROW = 3


def clean_text(text: str) -> str:
    """One line of text: pictures by their Unicode names, no links, no runs of one character longer than three.

    The start's vocabulary knows no emoji, but it knows the words of their names.
    """
    text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS])
    text = _REPEATED.sub(lambda run: run[1] * _PICTURES_IN_A_ROW, _LINK.sub(" ", text))
    return " ".join(_PICTURE.sub(_named, text).split())


def _named(picture: re.Match[str]) -> str:
    return f" {unicodedata.name(picture[1], '').lower()} "


@dataclass(frozen=True)
class Tokens:
    """Token ids of a sentence, and after them of what was said before it."""

    sentence: tuple[int, ...] = ()
    before: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.sentence) + len(self.before)


@dataclass(frozen=True)
class TokenBatch:
    """Token ids and mask [N, T] of sentences of about one length, and their rows in the caller's order. The mask is 1
    for a sentence, 2 for what was said before it, 0 for what is filled up."""

    rows: list[int]
    ids_NT: NDArray[np.int64]
    mask_NT: NDArray[np.int64]


class SentenceTokenizer:
    """The tokenizer that is stored beside a model's weights. Of a sentence the first `most_tokens` are kept, of what
    was said before it the last `most_before`."""

    def __init__(self, tokenizer: Tokenizer, most_tokens: int, most_before: int = 0) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._most_words = most_tokens - tokenizer.num_special_tokens_to_add(False)
        self._most_before = most_before
        self._marks_between = tokenizer.num_special_tokens_to_add(True) - tokenizer.num_special_tokens_to_add(False)

    @classmethod
    def read(cls, path: Path, most_tokens: int, most_before: int = 0) -> Self:
        """From a `tokenizer.json`."""
        return cls(Tokenizer.from_buffer(path.read_bytes()), most_tokens, most_before)

    def encode(self, sentences: Sequence[str], before: Sequence[str] = ()) -> list[Tokens]:
        """Tokens of each sentence, cleaned, none of one without words. `before`: what was said before each."""
        said = self._words(sentences)
        if not before or not self._most_before:
            return [self._cut(own, None) for own in said]
        earlier = self._words([text[-MAX_CHARACTERS:] for text in before])
        return [self._cut(own, other) for own, other in zip(said, earlier, strict=True)]

    def _words(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch([clean_text(text) for text in texts], add_special_tokens=False)

    def _cut(self, own: Encoding, before: Encoding | None) -> Tokens:
        if not own.ids:
            return Tokens()
        own.truncate(self._most_words)
        alone = self._tokenizer.post_process(own).ids
        if before is None or not before.ids:
            return Tokens(tuple(alone))
        before.truncate(self._most_before - self._marks_between, direction="left")
        return Tokens(tuple(alone), tuple(self._tokenizer.post_process(own, before).ids[len(alone) :]))


def padded(tokens: Sequence[Tokens], rows: Sequence[int]) -> TokenBatch:
    """The named rows of `tokens` as one batch, padded to the longest of them."""
    longest = max(len(tokens[row]) for row in rows)
    ids_NT = np.zeros((len(rows), longest), np.int64)
    mask_NT = np.zeros((len(rows), longest), np.int64)
    for place, row in enumerate(rows):
        own, length = len(tokens[row].sentence), len(tokens[row])
        ids_NT[place, :length] = (*tokens[row].sentence, *tokens[row].before)
        mask_NT[place, :own], mask_NT[place, own:length] = SENTENCE, BEFORE
    return TokenBatch(list(rows), ids_NT, mask_NT)

"""Sentences → tokens, the same for training and serving."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

MAX_CHARACTERS = 4_000
"""Characters of a text that are read: far more than a model has tokens for."""

SENTENCE_TOKEN, CONTEXT_TOKEN = 1, 2
"""Mask values of a token of the sentence, and of the context before it."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_REPEATED = re.compile(r"(\S)\1{3,}")
# The Unicode planes of emoji, and older symbols that are shown as emoji.
_EMOJI = re.compile("([\u2600-\u27bf\u2b00-\u2bff\U0001f300-\U0001faff])[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*")
_MAX_REPEATS = 3


def clean_text(text: str, *, keep_emoji: bool = False) -> str:
    """Return one line of text: emoji as their Unicode names, no links, no character more than three times in a row.

    The vocabulary of MiniLM has no emoji, but the words of their names; that of multilingual models has most of them.
    """
    text = unicodedata.normalize("NFC", text[:MAX_CHARACTERS])
    text = _REPEATED.sub(lambda run: run[1] * _MAX_REPEATS, _LINK.sub(" ", text))
    return " ".join((text if keep_emoji else _EMOJI.sub(_emoji_name, text)).split())


def _emoji_name(emoji: re.Match[str]) -> str:
    return f" {unicodedata.name(emoji[1], '').lower()} "


@dataclass(frozen=True)
class Tokens:
    """Token ids of a sentence, followed by those of the context before it."""

    sentence: tuple[int, ...] = ()
    context: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.sentence) + len(self.context)


@dataclass(frozen=True)
class TokenBatch:
    """Token ids and mask [N, T] of sentences of about one length, and their rows in the caller's order.

    The mask is SENTENCE_TOKEN, CONTEXT_TOKEN, or 0 for padding.
    """

    rows: list[int]
    ids_NT: NDArray[np.int64]
    mask_NT: NDArray[np.int64]


class TextTokenizer(Protocol):
    """Tokenizer: sentences into the tokens of a network."""

    def encode(self, sentences: Sequence[str], contexts: Sequence[str] = ()) -> list[Tokens]:
        """Return the tokens of each cleaned sentence, none for one without words. `contexts`: text before each."""


class SentenceTokenizer:
    """Tokenizer of a model. It keeps the first `max_tokens` of a sentence and the last `max_context` before it."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, max_context: int = 0) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._max_words = max_tokens - tokenizer.num_special_tokens_to_add(False)
        self._max_context = max_context
        self._separator_tokens = tokenizer.num_special_tokens_to_add(True) - tokenizer.num_special_tokens_to_add(False)

    @classmethod
    def from_file(cls, path: Path, max_tokens: int, max_context: int = 0) -> Self:
        """Return the tokenizer of a `tokenizer.json`."""
        return cls(Tokenizer.from_buffer(path.read_bytes()), max_tokens, max_context)

    def encode(self, sentences: Sequence[str], contexts: Sequence[str] = ()) -> list[Tokens]:
        """Return the tokens of each cleaned sentence, none for one without words. `contexts`: text before each."""
        encodings = self._encode_words(sentences)
        if not contexts or not self._max_context:
            return [self._truncate(own, None) for own in encodings]
        before = self._encode_words([text[-MAX_CHARACTERS:] for text in contexts])
        return [self._truncate(own, context) for own, context in zip(encodings, before, strict=True)]

    def _encode_words(self, texts: Sequence[str]) -> list[Encoding]:
        return self._tokenizer.encode_batch([clean_text(text) for text in texts], add_special_tokens=False)

    def _truncate(self, own: Encoding, context: Encoding | None) -> Tokens:
        if not own.ids:
            return Tokens()
        own.truncate(self._max_words)
        alone = self._tokenizer.post_process(own).ids
        if context is None or not context.ids:
            return Tokens(tuple(alone))
        context.truncate(self._max_context - self._separator_tokens, direction="left")
        return Tokens(tuple(alone), tuple(self._tokenizer.post_process(own, context).ids[len(alone) :]))


def pad_tokens(tokens: Sequence[Tokens], rows: Sequence[int]) -> TokenBatch:
    """Return some rows of `tokens` as one batch, padded to the longest of them."""
    longest = max(len(tokens[row]) for row in rows)
    ids_NT = np.zeros((len(rows), longest), np.int64)
    mask_NT = np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        own, length = len(tokens[row].sentence), len(tokens[row])
        ids_NT[index, :length] = (*tokens[row].sentence, *tokens[row].context)
        mask_NT[index, :own], mask_NT[index, own:length] = SENTENCE_TOKEN, CONTEXT_TOKEN
    return TokenBatch(list(rows), ids_NT, mask_NT)

"""Tokenizer of multilingual-e5-small: SentencePiece's unigram model (Kudo 2018), read from the package's weights file.

The library `tokenizers` takes 280 MB for the same vocabulary; here it is eight bytes for each piece. A word is split by
Viterbi's algorithm. Which of its parts are pieces is looked up for all parts at once, by polynomial hashes.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.networks.e5 import Pieces, read_pieces
from ml.networks.tokens import MAX_CHARACTERS, Tokens, clean_text

SPACE = "\u2581"
"""Mark of a word's beginning, in place of the space before it."""
START, END, UNKNOWN = 0, 2, 3
UNKNOWN_PENALTY = 10.0
"""Score of an unknown character below the worst piece."""
CACHED_WORDS = 20_000
_MAX_WORD = 300
"""Characters of a word, or of a sentence without spaces, that are split together; bounds memory."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
_LENGTH_FACTOR = np.uint64(0xC2B2AE3D27D4EB4F)

Hashes = NDArray[np.uint64]


class UnigramTokenizer:
    """Splits text into pieces: text → ids, without marks of start and end."""

    def __init__(self, pieces: Pieces) -> None:
        lengths_P = np.diff(pieces.offsets_P1)
        hashes_P = _hashes(pieces.content, pieces.offsets_P1[:-1], pieces.offsets_P1[1:])
        hashes_P[: UNKNOWN + 1] = 0  # marks are no text
        self._ids_P = np.argsort(hashes_P, kind="stable").astype(np.int32)
        self._hashes_P = hashes_P[self._ids_P]
        self._scores_P = pieces.scores_P
        self._unknown_score = float(pieces.scores_P.min()) - UNKNOWN_PENALTY
        self._max_bytes = int(lengths_P.max())
        self._normalized = pieces.normalized
        self._split_word = lru_cache(CACHED_WORDS)(self._split)

    @classmethod
    def from_file(cls, path: Path) -> "UnigramTokenizer":
        """Return the tokenizer of the package's weights file."""
        return cls(read_pieces(path))

    def encode(self, text: str) -> list[int]:
        """Return the ids of the pieces of a text."""
        ids: list[int] = []
        for word in text.translate(self._normalized).split():
            marked = SPACE + word
            for first in range(0, len(marked), _MAX_WORD):
                ids += self._split_word(marked[first : first + _MAX_WORD])
        return ids

    def _split(self, word: str) -> tuple[int, ...]:
        """Return the pieces of a word with the highest sum of scores; unknown characters in a row are one piece."""
        edges = _edges(word)
        best = [0.0] + [-np.inf] * (len(edges) - 1)
        step: list[tuple[int, int]] = [(0, UNKNOWN)] * len(edges)
        for first, last, piece in self._parts(word, edges):
            score = best[first] + (self._unknown_score if piece == UNKNOWN else float(self._scores_P[piece]))
            if score > best[last]:
                best[last], step[last] = score, (first, piece)
        place, found = len(edges) - 1, list[int]()
        while place:
            place, piece = step[place]
            if piece != UNKNOWN or found[-1:] != [UNKNOWN]:
                found.append(piece)
        return tuple(reversed(found))

    def _parts(self, word: str, edges: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Yield the parts of a word that are pieces (places of their ends, id), by their first character.

        A character that is no piece is an unknown one.
        """
        pairs = [
            (first, last)
            for first in range(len(edges) - 1)
            for last in range(first + 1, len(edges))
            if edges[last] - edges[first] <= self._max_bytes or last == first + 1
        ]
        starts, ends = (np.array([edges[pair[side]] for pair in pairs]) for side in (0, 1))
        hashes_N = _hashes(np.frombuffer(word.encode(), np.uint8), starts, ends)
        places_N = np.minimum(np.searchsorted(self._hashes_P, hashes_N), len(self._hashes_P) - 1)
        known_N = (self._hashes_P[places_N] == hashes_N).tolist()
        ids_N = self._ids_P[places_N].tolist()
        for (first, last), known, piece in zip(pairs, known_N, ids_N, strict=True):
            if known:
                yield first, last, piece
            elif last == first + 1:
                yield first, last, UNKNOWN


def _edges(word: str) -> list[int]:
    """Return the places of a word's characters in its UTF-8 bytes, and its end."""
    lengths = [len(character.encode()) for character in word]
    return [0, *np.cumsum(lengths).tolist()]


def _hashes(content: NDArray[np.uint8], starts_N: NDArray[np.int64], ends_N: NDArray[np.int64]) -> Hashes:
    """Return a hash of each part [start, end) of the bytes: a polynomial of them modulo 2⁶⁴, mixed with the length."""
    powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(content), _BASE)]), dtype=np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum((content + np.uint64(1)) * powers[:-1], dtype=np.uint64)])
    # The sum of a part has the power of its start as a factor; those of all starts are brought to the largest.
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    inverses = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(content), inverse)]), dtype=np.uint64)
    return (sums[ends_N] - sums[starts_N]) * inverses[starts_N] ^ (ends_N - starts_N).astype(np.uint64) * _LENGTH_FACTOR


class UnigramSentenceTokenizer:
    """Sentences → tokens, with the marks of multilingual-e5-small; see `ml.networks.tokens.SentenceTokenizer`."""

    def __init__(self, tokenizer: UnigramTokenizer, max_tokens: int, max_context: int = 0) -> None:
        self._tokenizer, self._max_tokens, self._max_context = tokenizer, max_tokens, max_context

    def encode(self, sentences: Sequence[str], contexts: Sequence[str] = ()) -> list[Tokens]:
        """Return the tokens of each cleaned sentence, none for one without words. `contexts`: text before each."""
        own = [self._ids(sentence) for sentence in sentences]
        if not contexts or not self._max_context:
            return [self._tokens(ids, []) for ids in own]
        before = [self._ids(text[-MAX_CHARACTERS:]) for text in contexts]
        return [self._tokens(ids, context) for ids, context in zip(own, before, strict=True)]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(clean_text(text, keep_emoji=True))

    def _tokens(self, own: Sequence[int], context: Sequence[int]) -> Tokens:
        if not own:
            return Tokens()
        sentence = (START, *own[: self._max_tokens - 2], END)
        return Tokens(sentence, (END, *context[-(self._max_context - 2) :], END) if context else ())

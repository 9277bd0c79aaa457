"""Transcript by time: which part of it is spoken in a span of time."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ml.inference.api import TimeSpan
from ml.results import Segment

_WORD = re.compile(r"\S+")
MAX_CONTEXT_WORDS = 64
"""Maximum words before a span that are its context: more than a text model reads."""


@dataclass(frozen=True, order=True)
class _WordPosition:
    """Word of a segment: the middle of its time, and its characters [first, last) in the segment's text."""

    middle: float
    segment: int
    first: int
    last: int


class TranscriptIndex:
    """Finds the words of a span of time. Captions without word times have their words spread by length.

    `language`: that of segments that name none.
    """

    def __init__(self, segments: Sequence[Segment], language: str | None = None) -> None:
        self._texts = [segment.text for segment in segments]
        self._languages = [segment.language or language for segment in segments]
        self._words = sorted(
            word for number, segment in enumerate(segments) for word in _word_positions(number, segment)
        )
        self._middles = [word.middle for word in self._words]

    def text_in(self, span: TimeSpan) -> str:
        """Return the words with their middle in the span, in reading order, as the transcript writes them."""
        return self._text(*(bisect_left(self._middles, edge) for edge in (span.start, span.end)))

    def text_before(self, span: TimeSpan) -> str:
        """Return the last words before the span, at most `MAX_CONTEXT_WORDS`, as the transcript writes them."""
        last = bisect_left(self._middles, span.start)
        return self._text(max(last - MAX_CONTEXT_WORDS, 0), last)

    def language_in(self, span: TimeSpan) -> str | None:
        """Return the language of most words in the span; null if it is unknown."""
        first, last = (bisect_left(self._middles, edge) for edge in (span.start, span.end))
        counts = Counter(self._languages[word.segment] for word in self._words[first:last])
        return counts.most_common(1)[0][0] if counts else None

    def _text(self, first: int, last: int) -> str:
        words_by_segment: dict[int, list[_WordPosition]] = {}
        for word in self._words[first:last]:
            words_by_segment.setdefault(word.segment, []).append(word)
        return " ".join(
            self._texts[number][min(word.first for word in words) : max(word.last for word in words)]
            for number, words in sorted(words_by_segment.items())
        )


def _word_positions(number: int, segment: Segment) -> Iterator[_WordPosition]:
    if not segment.words:
        seconds_per_character = (segment.end - segment.start) / max(len(segment.text), 1)
        for match in _WORD.finditer(segment.text):
            first, last = match.span()
            middle = segment.start + (first + last) / 2 * seconds_per_character
            yield _WordPosition(middle, number, first, last)
        return
    position = 0
    for word in segment.words:
        first = max(segment.text.find(word.word, position), position)
        position = first + len(word.word)
        yield _WordPosition((word.start + word.end) / 2, number, first, position)

"""Words → windows: which part of a transcript is said in a stretch of time."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ml.inference.api import TimeSpan
from ml.results import Segment

_WORD = re.compile(r"\S+")
MAX_CONTEXT_WORDS = 64
"""Words before a stretch of time that may matter for how it is understood: more than a text model looks at."""


@dataclass(frozen=True, order=True)
class _Placed:
    """A word: the middle of its time, and where it stands in the text of its segment."""

    middle: float
    segment: int
    first: int
    last: int


class TranscriptIndex:
    """A transcript that can be asked what is said when. Captions without word times have theirs spread by length."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._texts = [segment.text for segment in segments]
        self._words = sorted(word for number, segment in enumerate(segments) for word in _place(number, segment))
        self._middles = [word.middle for word in self._words]

    def text_in(self, span: TimeSpan) -> str:
        """The words whose middle lies in the half-open span, in reading order, as the transcript writes them."""
        return self._joined(*(bisect_left(self._middles, edge) for edge in (span.start, span.end)))

    def text_before(self, span: TimeSpan) -> str:
        """The last words before the span, at most `MAX_CONTEXT_WORDS`, as the transcript writes them."""
        last = bisect_left(self._middles, span.start)
        return self._joined(max(last - MAX_CONTEXT_WORDS, 0), last)

    def _joined(self, first: int, last: int) -> str:
        parts: dict[int, list[_Placed]] = {}
        for word in self._words[first:last]:
            parts.setdefault(word.segment, []).append(word)
        return " ".join(
            self._texts[number][min(word.first for word in words) : max(word.last for word in words)]
            for number, words in sorted(parts.items())
        )


def _place(number: int, segment: Segment) -> Iterator[_Placed]:
    if not segment.words:
        scale = (segment.end - segment.start) / max(len(segment.text), 1)
        for found in _WORD.finditer(segment.text):
            first, last = found.span()
            yield _Placed(segment.start + (first + last) / 2 * scale, number, first, last)
        return
    place = 0
    for word in segment.words:
        first = max(segment.text.find(word.word, place), place)
        place = first + len(word.word)
        yield _Placed((word.start + word.end) / 2, number, first, place)

"""A caller's transcript: plain text, SubRip or WebVTT → the transcript of the result.

WebVTT is read as the W3C's parser reads it (https://www.w3.org/TR/webvtt1/), SubRip as players do: a line with an arrow
between two times begins a cue. What is no cue (headers, remarks, styles, numbers) is skipped.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ml.errors import InvalidTranscript
from ml.results import Segment, Transcript, Word

MAX_CHARACTERS = 4_000_000
MOST_WORDS = 100_000
"""Four hours of the fastest speech."""

_TIME = r"(-?)(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?")
_ARROW = re.compile(r"[\d.,:][ \t]*-->[ \t]*[-\d]")
_STAMP = re.compile(rf"<{_TIME}>")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class _Cue:
    start: float
    end: float
    lines: tuple[str, ...]


def parse_transcript(text: str, duration: float | None) -> Transcript:
    """The transcript that a caller sent, in the media's time (seconds).

    A text with cue times is read as SRT or WebVTT; any other is one segment over the whole media. Words have the times
    that WebVTT gives them, others share the time of their cue by length. Times outside 0 … `duration` (null: not known)
    are cut, cues wholly outside left out. Raises InvalidTranscript when there is nothing to read, or too much.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidTranscript(f"The transcript has more than {MAX_CHARACTERS} characters.")
    clean = _NO_TEXT.sub("", text).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    webvtt = re.match(r"WEBVTT(?=\s|$)", clean) is not None
    if webvtt or "-->" in clean:
        cues = sorted(_cues(clean.split("\n"), webvtt), key=lambda cue: (cue.start, cue.end))
        if not cues:
            raise InvalidTranscript("The transcript looks like captions, but has no cue that can be read.")
        if _STAMP.search(clean):
            cues = _unrolled(cues)
    else:
        # Plain text has no markup: escaped, it comes through unchanged.
        cues = [_Cue(0.0, duration or 0.0, (html.escape(clean).replace("{", "&#123;"),))]
    segments = tuple(_segments(cues, duration))
    if not segments:
        raise InvalidTranscript("The transcript has no words within the media.")
    said = " ".join(segment.text for segment in segments)
    return Transcript(source="caller", language=None, text=said, segments=segments)


def _cues(lines: list[str], webvtt: bool) -> Iterator[_Cue]:
    """The text of a cue ends at the next line with an arrow; in WebVTT also at an empty line. SubRip's numbers stand
    before the arrow, and may miss the empty line above. A cue whose times cannot be read is left out."""
    begins = [number for number, line in enumerate(lines) if _ARROW.search(line)]
    for begin, following in pairwise([*begins, len(lines)]):
        timing = _TIMING.fullmatch(lines[begin])
        if timing is None:
            continue
        said = lines[begin + 1 : following]
        if webvtt:
            said = said[: said.index("")] if "" in said else said
        elif following < len(lines) and said and said[-1].strip().isdecimal():
            said = said[:-1]
        start, end = _seconds(timing.groups()[:5]), _seconds(timing.groups()[5:])
        yield _Cue(start, max(start, end), tuple(line for line in said if line.strip()))


def _seconds(parts: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = (part or "0" for part in parts)
    value = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
    return -value if sign == "-" else value


def _unrolled(cues: Iterable[_Cue]) -> list[_Cue]:
    """Captions that roll show each line again in the next cue: once is enough. Done only where words have stamps, as
    recognisers write them; in other captions a line that is there twice was said twice."""
    kept: list[_Cue] = []
    shown: set[str] = set()
    for cue in cues:
        fresh = tuple(line for line in cue.lines if _plain(line) not in shown)
        shown = {_plain(line) for line in cue.lines}
        kept.append(_Cue(cue.start, cue.end, fresh))
    return kept


def _plain(markup: str) -> str:
    """Without tags and stamps, entities resolved, in single spaces."""
    return " ".join(html.unescape(_TAG.sub("", _STAMP.sub("", markup))).split())


def _segments(cues: Iterable[_Cue], duration: float | None) -> Iterator[Segment]:
    """The cues that have words, within the media."""
    count = 0
    for cue in cues:
        outside = cue.end < 0 or (duration is not None and cue.start > duration)
        words = [] if outside else _words(cue, duration)
        count += len(words)
        if count > MOST_WORDS:
            raise InvalidTranscript(f"The transcript has more than {MOST_WORDS} words.")
        if words:
            text = " ".join(word.word for word in words)
            yield Segment(start=_within(cue.start, duration), end=_within(cue.end, duration), text=text, words=words)


def _words(cue: _Cue, duration: float | None) -> tuple[Word, ...]:
    """The words of a cue. A stamp (`<00:01.500>`) tells when what follows it begins."""
    markup = " ".join(cue.lines)
    stamps = list(_STAMP.finditer(markup))
    places = [0, *(place for stamp in stamps for place in stamp.span()), len(markup)]
    pieces = [_plain(markup[first:last]).split() for first, last in zip(places[::2], places[1::2], strict=True)]
    if sum(map(len, pieces)) > MOST_WORDS:
        raise InvalidTranscript(f"The transcript has more than {MOST_WORDS} words.")
    times = [cue.start, *(min(_seconds(stamp.groups()), cue.end) for stamp in stamps)]
    begins = [*accumulate(times, max), cue.end]
    spans = zip(pieces, pairwise(begins), strict=True)
    return tuple(word for piece, span in spans for word in _spread(piece, *span, duration))


def _spread(words: list[str], start: float, end: float, duration: float | None) -> Iterator[Word]:
    """Each word takes its share of the time by its length."""
    total = max(sum(map(len, words)), 1)
    edges = [start + (end - start) * length / total for length in accumulate(map(len, words), initial=0)]
    for word, (first, last) in zip(words, pairwise(edges), strict=True):
        yield Word(start=_within(first, duration), end=_within(last, duration), word=word)


def _within(time: float, duration: float | None) -> float:
    """A time within the media, in whole milliseconds as captions have them."""
    time = max(round(time, 3), 0.0)
    return time if duration is None else min(time, duration)

"""Parser of a caller's transcript: plain text, SubRip or WebVTT → the transcript of the result.

WebVTT is parsed as the W3C's parser does (https://www.w3.org/TR/webvtt1/), SubRip as players do: a line with an arrow
between two times begins a cue. Everything else (headers, comments, styles, numbers) is skipped.
"""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ml.errors import InvalidTranscript
from ml.results import Segment, Transcript, Word

MAX_CHARACTERS = 4_000_000
MAX_WORDS = 100_000
"""Maximum number of words: four hours of the fastest speech."""

_TIME = r"(-?)(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?")
_ARROW = re.compile(r"[\d.,:][ \t]*-->[ \t]*[-\d]")
_STAMP = re.compile(rf"<{_TIME}>")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class _Caption:
    start: float
    end: float
    lines: tuple[str, ...]


def parse_transcript(text: str, duration: float | None) -> Transcript:
    """Parse a caller's transcript into the media's time (seconds).

    Text with cue times is parsed as SRT or WebVTT; any other text is one segment over the whole media. Words have the
    times that WebVTT gives them; otherwise they share the time of their cue by length. Times outside 0 … `duration`
    (None: unknown) are clipped, and cues entirely outside are left out.

    Raises InvalidTranscript if there are no words, or too many.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidTranscript(f"The transcript has more than {MAX_CHARACTERS} characters.")
    clean = _CONTROL.sub("", text).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    webvtt = re.match(r"WEBVTT(?=\s|$)", clean) is not None
    if webvtt or "-->" in clean:
        captions = sorted(_captions(clean.split("\n"), webvtt), key=lambda caption: (caption.start, caption.end))
        if not captions:
            raise InvalidTranscript("The transcript looks like subtitles, but contains no readable cue.")
        if _STAMP.search(clean):
            captions = _without_repeats(captions)
    else:
        # Plain text has no markup: escaped, it comes through unchanged.
        captions = [_Caption(0.0, duration or 0.0, (html.escape(clean).replace("{", "&#123;"),))]
    segments = tuple(_segments(captions, duration))
    if not segments:
        raise InvalidTranscript("The transcript has no words within the duration of the media.")
    spoken = " ".join(segment.text for segment in segments)
    return Transcript(source="caller", language=None, text=spoken, segments=segments)


def _captions(lines: list[str], webvtt: bool) -> Iterator[_Caption]:
    """Yield the cues; those with unreadable times are left out.

    The text of a cue ends at the next line with an arrow, in WebVTT also at an empty line. SubRip's numbers precede
    the arrow, and the empty line above them may be missing.
    """
    timings = [number for number, line in enumerate(lines) if _ARROW.search(line)]
    for first, following in pairwise([*timings, len(lines)]):
        timing = _TIMING.fullmatch(lines[first])
        if timing is None:
            continue
        text = lines[first + 1 : following]
        if webvtt:
            text = text[: text.index("")] if "" in text else text
        elif following < len(lines) and text and text[-1].strip().isdecimal():
            text = text[:-1]
        start, end = _seconds(timing.groups()[:5]), _seconds(timing.groups()[5:])
        yield _Caption(start, max(start, end), tuple(line for line in text if line.strip()))


def _seconds(parts: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = (part or "0" for part in parts)
    value = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
    return -value if sign == "-" else value


def _without_repeats(captions: Iterable[_Caption]) -> list[_Caption]:
    """Remove the lines that rolling captions repeat from the cue before.

    To be used only if words have time stamps, as in the output of recognisers: in other captions a repeated line was
    said twice.
    """
    cleaned: list[_Caption] = []
    previous: set[str] = set()
    for caption in captions:
        new = tuple(line for line in caption.lines if _plain(line) not in previous)
        previous = {_plain(line) for line in caption.lines}
        cleaned.append(_Caption(caption.start, caption.end, new))
    return cleaned


def _plain(markup: str) -> str:
    """Remove tags and time stamps, resolve entities and collapse spaces."""
    return " ".join(html.unescape(_TAG.sub("", _STAMP.sub("", markup))).split())


def _segments(captions: Iterable[_Caption], duration: float | None) -> Iterator[Segment]:
    """Yield the cues that have words within the media."""
    count = 0
    for caption in captions:
        outside = caption.end < 0 or (duration is not None and caption.start > duration)
        words = [] if outside else _words(caption, duration)
        count += len(words)
        if count > MAX_WORDS:
            raise _too_many_words()
        if words:
            start, end = _clip(caption.start, duration), _clip(caption.end, duration)
            yield Segment(start=start, end=end, text=" ".join(word.word for word in words), words=words)


def _words(caption: _Caption, duration: float | None) -> tuple[Word, ...]:
    """Return the words of a cue. A time stamp (`<00:01.500>`) is the start of the text that follows it."""
    markup = " ".join(caption.lines)
    stamps = list(_STAMP.finditer(markup))
    edges = [0, *(edge for stamp in stamps for edge in stamp.span()), len(markup)]
    groups = [_plain(markup[first:last]).split() for first, last in zip(edges[::2], edges[1::2], strict=True)]
    if sum(map(len, groups)) > MAX_WORDS:
        raise _too_many_words()
    times = [caption.start, *(min(_seconds(stamp.groups()), caption.end) for stamp in stamps)]
    starts = [*accumulate(times, max), caption.end]
    spans = zip(groups, pairwise(starts), strict=True)
    return tuple(word for group, span in spans for word in _spread(group, *span, duration))


def _spread(words: list[str], start: float, end: float, duration: float | None) -> Iterator[Word]:
    """Divide a time among words by their lengths."""
    total = max(sum(map(len, words)), 1)
    edges = [start + (end - start) * length / total for length in accumulate(map(len, words), initial=0)]
    for word, (first, last) in zip(words, pairwise(edges), strict=True):
        yield Word(start=_clip(first, duration), end=_clip(last, duration), word=word)


def _clip(time: float, duration: float | None) -> float:
    """Clip a time to the media, in whole milliseconds as captions have them."""
    time = max(round(time, 3), 0.0)
    return time if duration is None else min(time, duration)


def _too_many_words() -> InvalidTranscript:
    return InvalidTranscript(f"The transcript has more than {MAX_WORDS} words.")

"""Parser of a caller's transcript: plain text or captions → the transcript of the result.

`caption_encoding` decodes bytes, `caption_formats` reads the formats, `caption_text` leaves the spoken words.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from ml.errors import InvalidTranscript
from ml.reports.caption_formats import Caption, Captions, read_captions
from ml.reports.caption_text import STAMP, clean, has_names, spoken_text
from ml.results import Segment, Transcript, Word
from ml.scripts import count_words, word_spans

MAX_CHARACTERS = 4_000_000
MAX_WORDS = 100_000
"""Maximum number of words: four hours of the fastest speech."""
MAX_LINES = 400_000
"""Maximum number of lines: four for each caption of a word."""
MIN_OPEN_SECONDS, MAX_SECONDS_PER_WORD = 2.0, 1.0
"""Bounds on the seconds of a caption without an end, which ends at the latest when the next begins."""


class ParsedTranscript(NamedTuple):
    """A transcript, and the number of captions with words that begin after the end of the media, which it lacks."""

    transcript: Transcript
    beyond_end: int


def parse_transcript(text: str, duration: float | None) -> ParsedTranscript:
    """Parse a caller's transcript into the media's time (seconds).

    Captions are recognised by their content; any other text is one segment over the whole media. Names of speakers,
    descriptions of sounds and marks are left out. Words have the times that the format gives them; otherwise they share
    the time of their caption by length. Times outside 0 … `duration` (None: unknown) are clipped, and captions entirely
    outside are left out.

    Raises UnsupportedTranscript for captions of another format; InvalidTranscript if a format has no readable cue, if
    plain text has no words, or if there are too many words.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidTranscript(f"The transcript has more than {MAX_CHARACTERS} characters.")
    cleaned = clean(text)
    if cleaned.count("\n") > MAX_LINES:
        raise InvalidTranscript(f"The transcript has more than {MAX_LINES} lines.")
    if cleaned.count("-->") > MAX_WORDS:  # reading more would take seconds
        raise _too_many_words()
    document = read_captions(cleaned)
    if document is None:
        captions, language = [Caption(0.0, duration or 0.0, cleaned)], None
    else:
        captions, language = _with_ends(document), document.language
    spoken = _spoken(captions, is_captions=document is not None)
    segments = tuple(_segments(spoken, duration))
    if not segments and document is None:
        raise InvalidTranscript("The transcript has no words.")
    words = " ".join(segment.text for segment in segments)
    beyond = sum(_is_beyond(caption, duration) and count_words(caption.text) > 0 for caption in spoken)
    return ParsedTranscript(Transcript(source="caller", language=language, text=words, segments=segments), beyond)


def _with_ends(document: Captions) -> list[Caption]:
    """Return the captions in order of time, each with an end: at the latest the start of the next later one.

    Raises InvalidTranscript if they are too many, or too long.
    """
    if len(document.captions) > MAX_WORDS:
        raise _too_many_words()
    if sum(len(caption.text) for caption in document.captions) > 2 * MAX_CHARACTERS:  # lines of LRC may be repeated
        raise InvalidTranscript(f"The captions have more than {2 * MAX_CHARACTERS} characters.")
    ordered = sorted(document.captions, key=lambda caption: (caption.start, caption.end or caption.start))
    ended: list[Caption] = []
    following = later = float("inf")  # start of the caption after this one; of the first that begins later
    for caption in reversed(ordered):
        if caption.start < following:
            following, later = caption.start, following
        end = caption.end
        if end is None:
            length = max(MIN_OPEN_SECONDS, MAX_SECONDS_PER_WORD * count_words(STAMP.sub(" ", caption.text)))
            end = min(later, caption.start + length)
        ended.append(Caption(caption.start, end, caption.text))
    return ended[::-1]


def _spoken(captions: Sequence[Caption], *, is_captions: bool) -> list[Caption]:
    """Return the captions with their spoken words alone."""
    named = has_names((caption.text for caption in captions), captions=is_captions)
    return [
        Caption(each.start, each.end, spoken_text(each.text, captions=is_captions, named=named)) for each in captions
    ]


def _words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


def _is_beyond(caption: Caption, duration: float | None) -> bool:
    return duration is not None and caption.start > duration


def _segments(captions: Iterable[Caption], duration: float | None) -> Iterator[Segment]:
    """Yield the captions that have words within the media."""
    count = 0
    for caption in captions:
        assert caption.end is not None
        outside = caption.end < 0 or _is_beyond(caption, duration)
        words = () if outside else _timed_words(caption, caption.end, duration)
        count += len(words)
        if count > MAX_WORDS:
            raise _too_many_words()
        if words:
            start, end = _clip(caption.start, duration), _clip(caption.end, duration)
            yield Segment(start=start, end=end, text=" ".join(STAMP.sub(" ", caption.text).split()), words=words)


def _timed_words(caption: Caption, end: float, duration: float | None) -> tuple[Word, ...]:
    """Return the words of a caption. A stamp is the start of the text that follows it."""
    parts = STAMP.split(caption.text)
    groups = [_words_of(part) for part in parts[::2]]
    if sum(map(len, groups)) > MAX_WORDS:
        raise _too_many_words()
    times = [caption.start, *(min(float(stamp), end) for stamp in parts[1::2])]
    starts = [*accumulate(times, max), end]
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

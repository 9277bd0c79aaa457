"""A caller's transcript: plain text, SubRip or WebVTT → the transcript of the result."""

import html
import re
from collections.abc import Iterator

from ml.errors import InvalidTranscript
from ml.results import Segment, Transcript

MOST_CHARACTERS = 4_000_000
MOST_CUES = 100_000

_TIME = r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_TIMING = re.compile(rf"^\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?$")
_TAG = re.compile(r"<[^<>\n]{0,200}>")


def parse_transcript(text: str, duration: float | None) -> Transcript:
    """The transcript that a caller sent, in the media's time.

    A text with cue times is read as SRT or WebVTT; any other is one segment over the whole media, its words spread by
    length. Times beyond `duration` (seconds; null: not known) are cut. Raises InvalidTranscript when there is nothing
    to read, or too much.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidTranscript(f"The transcript has more than {MOST_CHARACTERS} characters.")
    clean = text.replace("\x00", "").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    cues = list(_cues(clean.split("\n")))
    if cues:
        segments = _cut(cues, duration)
    elif "-->" in clean or clean.startswith("WEBVTT"):
        raise InvalidTranscript("The transcript looks like captions, but has no cue that can be read.")
    else:
        segments = _plain(clean, duration)
    if not segments:
        raise InvalidTranscript("The transcript has no words.")
    said = " ".join(segment.text for segment in segments)
    return Transcript(source="caller", language=None, text=said, segments=segments)


def _plain(text: str, duration: float | None) -> tuple[Segment, ...]:
    words = " ".join(text.split())
    return (Segment(start=0.0, end=duration or 0.0, text=words),) if words else ()


def _cues(lines: list[str]) -> Iterator[Segment]:
    """The cues of SRT or WebVTT: a timing line, then text up to an empty line. Everything between is skipped."""
    count = 0
    index = 0
    while index < len(lines):
        timing = _TIMING.match(lines[index])
        index += 1
        if timing is None:
            continue
        said = []
        while index < len(lines) and lines[index].strip():
            said.append(lines[index])
            index += 1
        count += 1
        if count > MOST_CUES:
            raise InvalidTranscript(f"The transcript has more than {MOST_CUES} cues.")
        words = " ".join(html.unescape(_TAG.sub("", " ".join(said))).split())
        start, end = _seconds(timing.groups()[:4]), _seconds(timing.groups()[4:])
        if words:
            yield Segment(start=start, end=max(start, end), text=words)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _cut(cues: list[Segment], duration: float | None) -> tuple[Segment, ...]:
    """The cues in order of time, within the media."""
    ordered = sorted(cues, key=lambda cue: (cue.start, cue.end))
    if duration is None:
        return tuple(ordered)
    inside = (cue for cue in ordered if cue.start < duration)
    return tuple(cue.model_copy(update={"end": min(cue.end, duration)}) for cue in inside)

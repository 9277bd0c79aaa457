"""Readers of the caption formats: text → captions with times, recognised by content.

WebVTT is parsed as the W3C's parser does (https://www.w3.org/TR/webvtt1/), SubRip as players do: a line with an arrow
between two times begins a cue. Everything else (headers, comments, styles, numbers) is skipped.

To add a format: a reader, a row in `_READERS`, and its name in `caption_encoding.ACCEPTED`. The readers need nothing
beyond the standard library, because the gateway checks a transcript while it arrives.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from ml.errors import InvalidTranscript
from ml.languages import find_language
from ml.reports.caption_encoding import unsupported
from ml.reports.caption_text import STAMP, clean, is_name, stamp
from ml.reports.entities import unescape
from ml.reports.ttml import read_ttml

MAX_REPEATED_LINE_STAMPS = 32
"""Maximum number of times for which one line of LRC is read."""
MAX_HEADER_CHARACTERS = 120
"""Maximum characters of a line with speaker and time above a paragraph."""
MAX_JSON_NODES = 1_500_000
"""Maximum number of commas and brackets of a JSON transcript: each may become an object in memory."""


@dataclass(frozen=True)
class Caption:
    """Text from `start` to `end` (seconds; None: until the next caption), with `stamp`s within it and a line break
    between lines."""

    start: float
    end: float | None
    text: str


class Captions(NamedTuple):
    """Captions of a document. `language`: as the document states it (ISO 639), or None."""

    captions: list[Caption]
    language: str | None = None


def read_captions(text: str) -> Captions | None:
    """Return the captions of a document without control characters and carriage returns; None if it is plain text.

    Raises UnsupportedTranscript for another format of captions, InvalidTranscript if there is no readable cue.
    """
    head = text.lstrip()
    _refuse_known(head)
    for is_format, read in _READERS:
        if is_format(text, head):
            captions = read(text)
            if not captions.captions:
                raise InvalidTranscript("The transcript looks like subtitles, but contains no readable cue.")
            return captions
    return None


_REFUSED = (
    (re.compile(r"<SAMI\b", re.I), "SAMI captions"),
    (re.compile(r"<!doctype html|<html\b", re.I), "an HTML page"),
    (re.compile(r"(?:<\?xml[^>]{0,200}\?>\s*)?<(?:transcript|timedtext)\b"), "captions in YouTube's XML"),
    (re.compile(r"Scenarist_SCC"), "SCC captions"),
    (re.compile(r"\{\\rtf"), "an RTF document"),
    (re.compile(r"\{\d+\}\{\d*\}"), "MicroDVD captions, which count frames"),
    (re.compile(r"\[\d+\]\[\d*\]"), "MPL2 captions"),
)


def _refuse_known(head: str) -> None:
    for pattern, description in _REFUSED:
        if pattern.match(head):
            raise unsupported(description)


# WebVTT, SubRip, SBV -------------------------------------------------------------------------------------------------

_TIME = r"(-?)(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,9}))?"
_TIMING = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?")
_ARROW = re.compile(r"[\d.,:][ \t]*-->[ \t]*[-\d]")
_MARKUP_STAMP = re.compile(rf"<{_TIME}>")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_SBV_TIMING = re.compile(rf"^{_TIME},{_TIME}[ \t]*$", re.M)
_SBV_BREAK = re.compile(r"\[br\]", re.I)
_ANY_INLINE_TIME = re.compile(r"<-?\d")


def _is_webvtt(text: str, head: str) -> bool:
    return re.match(r"WEBVTT(?=\s|$)", text) is not None


def _read_arrows(text: str, *, webvtt: bool) -> Captions:
    captions = list(_arrow_cues(text.split("\n"), webvtt))
    if _MARKUP_STAMP.search(text):
        captions.sort(key=lambda caption: (caption.start, caption.end))
        captions = _without_repeats(captions)
    return Captions(captions)


def _arrow_cues(lines: list[str], webvtt: bool) -> Iterator[Caption]:
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
        yield _timed(timing, "\n".join(_plain(line) for line in text if line.strip()))


def _timed(timing: re.Match[str], text: str) -> Caption:
    start, end = _seconds(timing.groups()[:5]), _seconds(timing.groups()[5:])
    return Caption(start, max(start, end), text)


def _seconds(parts: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = (part or "0" for part in parts)
    value = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
    return -value if sign == "-" else value


def _plain(markup: str) -> str:
    """Remove tags and resolve entities; a time stamp (`<00:01.500>`) becomes a `stamp`."""
    if not _ANY_INLINE_TIME.search(markup):
        return unescape(_TAG.sub("", markup))
    marked = _MARKUP_STAMP.sub(lambda found: stamp(_seconds(found.groups())), markup)
    return unescape(_TAG.sub("", marked))


def _without_repeats(captions: Iterable[Caption]) -> list[Caption]:
    """Remove the lines that rolling captions repeat from the cue before.

    To be used only if words have time stamps, as in the output of recognisers: in other captions a repeated line was
    said twice.
    """
    cleaned: list[Caption] = []
    previous: set[str] = set()
    for caption in captions:
        words = {line: " ".join(STAMP.sub("", line).split()) for line in caption.text.split("\n")}
        new = "\n".join(line for line in caption.text.split("\n") if words[line] not in previous)
        previous = set(words.values())
        cleaned.append(Caption(caption.start, caption.end, new))
    return cleaned


def _read_sbv(text: str) -> Captions:
    """Read YouTube's SBV and SubViewer: both times in one line, the text in the next ones up to an empty line."""
    timings = list(_SBV_TIMING.finditer(text))
    captions = []
    for timing, following in zip(timings, [*timings[1:], None], strict=True):
        content = text[timing.end() : following.start() if following else len(text)].strip("\n").partition("\n\n")[0]
        captions.append(_timed(timing, _SBV_BREAK.sub("\n", content)))
    return Captions(captions)


# ASS and SSA ---------------------------------------------------------------------------------------------------------

_ASS_SECTION = re.compile(r"^\[(?:Script Info|V4\+? Styles|Events)\][ \t]*$", re.M | re.I)
_ASS_TIME = re.compile(r"\s*(\d{1,3}):(\d{1,2}):(\d{1,2})(?:[.:](\d{1,3}))?\s*")
_ASS_COLUMNS = "Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"
_ASS_BLOCK = re.compile(r"(\{[^{}]*\})")
_ASS_DRAWING = re.compile(r"\\p(\d)")


def _read_ass(text: str) -> Captions:
    """Read the events `Dialogue`; comments, styles and drawings are no speech."""
    columns, captions = _columns(_ASS_COLUMNS), []
    for line in text.split("\n"):
        kind, _, rest = line.partition(":")
        if kind.strip().lower() == "format" and "text" in _columns(rest):
            columns = _columns(rest)
        elif kind.strip().lower() == "dialogue":
            cells = dict(zip(columns, rest.split(",", len(columns) - 1), strict=False))
            start, end = (_ASS_TIME.fullmatch(cells.get(name, "")) for name in ("start", "end"))
            if start and end and "text" in cells:
                captions.append(_ass_caption(start, end, cells["text"]))
    return Captions(captions)


def _columns(text: str) -> list[str]:
    return [name.strip().lower() for name in text.split(",")]


def _ass_caption(start: re.Match[str], end: re.Match[str], markup: str) -> Caption:
    first, last = (_seconds(("", *found.groups())) for found in (start, end))
    parts, drawing = [], False
    for part in _ASS_BLOCK.split(markup):
        if part.startswith("{") and part.endswith("}"):
            modes = _ASS_DRAWING.findall(part)
            drawing = modes[-1] != "0" if modes else drawing
        elif not drawing:
            parts.append(part)
    text = "".join(parts).replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")
    return Caption(first, max(first, last), text)


# LRC, and lines or paragraphs that begin with a time -----------------------------------------------------------------

_LRC_TAG = re.compile(r"\[([A-Za-z#]{1,12}):([^\]\n]{0,500})\]\s*")
_LRC_STAMP = re.compile(r"\s*\[(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2})(?:[.,](\d{1,3}))?\]")
_LRC_WORD = re.compile(r"<(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2})(?:[.,](\d{1,3}))?>")
_PARAGRAPH = re.compile(r"(?:(\S[^\n:]{0,60}?)(\s+))?[(\[]?(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)[)\]]?\s*")
_FOOTER = re.compile(r"\s*Transcribed by https?://otter\.ai.*", re.I)


def _is_lrc(text: str, head: str) -> bool:
    for line in head.split("\n", 100)[:100]:
        if line.strip() and not _LRC_TAG.fullmatch(line):
            return _LRC_STAMP.match(line) is not None
    return False


def _read_lrc(text: str) -> Captions:
    """Read LRC (`[00:12.00]text`, several times for one line, times of words) and transcripts with such times. A line
    without a time continues the one before."""
    offset = 0.0
    groups: list[tuple[list[float], list[str]]] = []  # the times of a line, and its text with that of the lines below
    for line in text.split("\n"):
        if (tag := _LRC_TAG.fullmatch(line)) is not None:
            if tag[1].lower() == "offset" and re.fullmatch(r"\s*[+-]?\d{1,7}\s*", tag[2]):
                offset = int(tag[2]) / 1000  # a positive offset shows the text sooner
            continue
        times, position = [], 0
        while (found := _LRC_STAMP.match(line, position)) is not None:
            times.append(_seconds(("", *found.groups())) - offset)
            position = found.end()
        if times:
            groups.append((times[:MAX_REPEATED_LINE_STAMPS], []))
        if groups:
            groups[-1][1].append(_with_word_stamps(line[position:], offset))
    captions = []
    for times, lines in groups:
        words = "\n".join(lines)
        captions.append(Caption(times[0], None, words))
        captions += [Caption(time, None, STAMP.sub("", words)) for time in times[1:]]
    return Captions(captions)


def _with_word_stamps(line: str, offset: float) -> str:
    return _LRC_WORD.sub(lambda word: stamp(_seconds(("", *word.groups())) - offset), line)


def _paragraph_starts(text: str) -> list[tuple[int, float]]:
    """Return the lines that hold nothing but a time after the name of a speaker, with the time; [] unless the document
    consists of such paragraphs: it begins with such a line or has several, and the times never go back."""
    lines = text.split("\n")
    found = []
    for number, line in enumerate(lines):
        header = _PARAGRAPH.fullmatch(line) if len(line) <= MAX_HEADER_CHARACTERS else None
        if header is None or (number and lines[number - 1].strip() and header[1]):
            continue
        if header[1] is None or len(header[2]) > 1 or "\t" in header[2] or is_name(header[1]):
            found.append((number, _seconds(("", header[3], header[4], header[5], None))))
    first_text = next((number for number, line in enumerate(lines) if line.strip()), 0)
    is_document = len(found) > 1 or (found and found[0][0] == first_text and len(lines) > first_text + 1)
    in_order = all(earlier <= later for (_, earlier), (_, later) in pairwise(found))
    return found if is_document and in_order else []


def _read_paragraphs(text: str) -> Captions:
    """Read paragraphs below a line with speaker and time, as Otter and others export them. What precedes the first is
    a title."""
    lines, starts = text.split("\n"), _paragraph_starts(text)
    ends = [number for number, _ in starts[1:]] + [len(lines)]
    return Captions(
        [
            Caption(time, None, "\n".join(line for line in lines[first + 1 : end] if not _FOOTER.fullmatch(line)))
            for (first, time), end in zip(starts, ends, strict=True)
        ]
    )


# Whisper -------------------------------------------------------------------------------------------------------------

_TSV_HEADER = re.compile(r"start\tend\ttext[ \t]*(?:\n|\Z)")
_JSON = re.compile(r'\{\s*["}]|\[\s*\{')


def _read_tsv(text: str) -> Captions:
    """Read the columns start and end (milliseconds) and text."""
    captions = []
    for line in text.lstrip().split("\n")[1:]:
        start, _, rest = line.partition("\t")
        end, _, words = rest.partition("\t")
        if re.fullmatch(r"\d{1,10}", start) and re.fullmatch(r"\d{1,10}", end):
            captions.append(Caption(int(start) / 1000, max(int(start), int(end)) / 1000, words))
    return Captions(captions)


def _read_json(text: str) -> Captions:
    """Read the segments of Whisper, whisper.cpp, WhisperX, faster-whisper and OpenAI's API, a list of such segments, or
    the result document of this service."""
    if sum(map(text.count, ",[{")) > MAX_JSON_NODES:
        raise InvalidTranscript("The transcript has too many parts.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise unsupported("JSON that cannot be parsed") from None
    content = document.get("transcript", document) if isinstance(document, dict) else document
    segments = content
    if isinstance(content, dict):
        segments = content.get("segments", content.get("transcription"))
    if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
        raise unsupported("JSON of another kind than Whisper's")
    captions = [caption for segment in segments if (caption := _json_caption(segment))]
    if segments and not captions:
        raise unsupported("JSON of another kind than Whisper's")
    return Captions(captions, _json_language(content))


def _json_language(content: Any) -> str | None:
    if not isinstance(content, dict):
        return None
    result = content.get("result")
    stated = content.get("language", result.get("language") if isinstance(result, dict) else None)
    return find_language(stated) if isinstance(stated, str) else None


def _json_caption(segment: dict[str, Any]) -> Caption | None:
    start, end = _json_times(segment)
    text = segment.get("text")
    if start is None or not isinstance(text, str):
        return None
    return Caption(start, end, _json_words(segment.get("words")) or clean(text))


def _json_times(part: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return start and end in seconds. whisper.cpp states offsets in milliseconds, others a duration."""
    offsets = part.get("offsets")
    if isinstance(offsets, dict):
        start, end = (_finite(offsets.get(name)) for name in ("from", "to"))
        start, end = (time / 1000 if time is not None else None for time in (start, end))
    else:
        start, end, length = (_finite(part.get(name)) for name in ("start", "end", "duration"))
        if start is not None and end is None and length is not None:
            end = start + length
    return start, max(start, end) if start is not None and end is not None else end


def _json_words(words: object) -> str | None:
    """Return the words with their times, or None if one of them has no text or no time."""
    if not isinstance(words, list) or not words:
        return None
    parts = []
    for word in words:
        text = word.get("word", word.get("text")) if isinstance(word, dict) else None
        start, end = _json_times(word) if isinstance(word, dict) else (None, None)
        if not isinstance(text, str) or start is None or end is None:
            return None
        parts.append(f"{stamp(start)}{clean(text)}{stamp(end)}")
    return " ".join(parts)


def _finite(value: object) -> float | None:
    """Return a number of seconds that is plausible, or None: JSON may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e9 and math.isfinite(value) else None


def _read_ttml(text: str) -> Captions:
    return Captions([Caption(*timed) for timed in read_ttml(text)])


_Test = Callable[[str, str], object]
_READERS: tuple[tuple[_Test, Callable[[str], Captions]], ...] = (
    (_is_webvtt, lambda text: _read_arrows(text, webvtt=True)),
    (lambda _, head: _JSON.match(head), _read_json),
    (lambda _, head: head.startswith("<?xml") or re.match(r"<(?:\w{1,20}:)?tt[\s>]", head), _read_ttml),
    (lambda text, _: _ASS_SECTION.search(text), _read_ass),
    (lambda text, _: "-->" in text, lambda text: _read_arrows(text, webvtt=False)),
    (lambda text, _: _SBV_TIMING.search(text), _read_sbv),
    (lambda _, head: _TSV_HEADER.match(head), _read_tsv),
    (_is_lrc, _read_lrc),
    (lambda text, _: _paragraph_starts(text), _read_paragraphs),
)
"""For each format a test of the whole text and its beginning, and the reader. The first that fits is used."""

"""A result as tiers, for annotation tools: spans of time with a label, never two at once in one tier.

Windows overlap, so they are dealt out over as many tiers as it takes: `emotion`, `emotion 2`, … together hold each
window once, with its own times. Single face tracks are not here: a long film has hundreds (see the CSV of faces).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ml.reports.report import Voice, milliseconds, moment_told, plain, voices_of
from ml.results import Result, Window
from ml.vocabulary import MODALITIES, Modality

NONE = "none"
"""The label of a window in which nothing could be read."""
MOMENT = 0.2
"""Seconds that a moment lasts as a span: long enough to be clicked."""

TierKind = Literal["emotion", "confidence", "speech", "moments"]


@dataclass(frozen=True)
class Span:
    """Whole milliseconds, `end` after `start`. `confidence`: of the label, as text; empty where there is none."""

    start: int
    end: int
    label: str
    confidence: str = ""

    @classmethod
    def of(cls, start: float, end: float, label: str, confidence: str = "") -> "Span":
        """From seconds; at least a millisecond long."""
        first = milliseconds(start)
        return cls(first, max(milliseconds(end), first + 1), plain(label), confidence)


@dataclass(frozen=True)
class Tier:
    """Spans in order of time. `parent`: the tier that has the same spans, of which this one tells more."""

    name: str
    kind: TierKind
    spans: tuple[Span, ...]
    participant: str = ""
    parent: str | None = None


def tiers_of(result: Result) -> list[Tier]:
    """The fused emotion with its confidence, then each modality, of the whole and of each channel; sentences, words and
    moments. A tier without spans is left out; where there is no span at all, one empty tier is given."""
    segments = result.transcript.segments
    sentences = (Span.of(part.start, part.end, part.text) for part in segments)
    words = (Span.of(word.start, word.end, word.word) for part in segments for word in part.words)
    moments = (Span.of(moment.time, moment.time + MOMENT, moment_told(moment)) for moment in result.moments)
    found = [
        *(tier for voice in voices_of(result) for tier in _voice_tiers(voice)),
        *_dealt("transcript", "speech", sentences),
        *_dealt("words", "speech", words),
        *_dealt("moments", "moments", moments),
    ]
    return found or [Tier("emotion", "emotion", ())]


def duration_of(result: Result, tiers: Iterable[Tier]) -> int:
    """Milliseconds that hold the media and every span; at least one."""
    ends = (span.end for tier in tiers for span in tier.spans)
    return max(milliseconds(result.media.duration or 0.0), 1, *ends)


def _voice_tiers(voice: Voice) -> Iterator[Tier]:
    prefix = f"{voice.name.lower()} " if voice.name else ""
    told = (Span.of(w.start, w.end, w.emotion or NONE, f"{w.confidence:.2f}") for w in voice.windows)
    for tier in _dealt(f"{prefix}emotion", "emotion", told, voice.name):
        yield tier
        more = tuple(Span(span.start, span.end, span.confidence) for span in tier.spans)
        yield Tier(f"{tier.name} confidence", "confidence", more, voice.name, parent=tier.name)
    for modality in MODALITIES:
        yield from _dealt(f"{prefix}{modality}", "emotion", _readings(voice.windows, modality), voice.name)
    if voice.channel is not None:  # what is said in a channel is known by window alone
        said = ((window, window.modalities.text) for window in voice.windows)
        spans = (Span.of(window.start, window.end, text.transcript) for window, text in said if text)
        yield from _dealt(f"{prefix}transcript", "speech", spans, voice.name)


def _readings(windows: Iterable[Window], modality: Modality) -> Iterator[Span]:
    """What the modality alone reads, in the windows where it is there."""
    for window in windows:
        if reading := getattr(window.modalities, modality):
            mode = max(reading.probabilities, key=reading.probabilities.__getitem__)
            yield Span.of(window.start, window.end, mode, f"{reading.probabilities[mode]:.2f}")


def _dealt(name: str, kind: TierKind, spans: Iterable[Span], participant: str = "") -> Iterator[Tier]:
    """Tiers of one name and a number that hold the spans, each in the first where there is room."""
    lanes: list[list[Span]] = []
    for span in sorted((span for span in spans if span.label), key=lambda span: (span.start, span.end)):
        lane = next((lane for lane in lanes if lane[-1].end <= span.start), None)
        if lane is None:
            lanes.append([span])
        else:
            lane.append(span)
    for number, lane in enumerate(lanes, 1):
        yield Tier(name if number == 1 else f"{name} {number}", kind, tuple(lane), participant)

"""Tiers for annotation tools (ELAN, Praat): labelled intervals that never overlap within one tier.

Windows overlap, so they are distributed over as many tiers as needed: `combined`, `combined 2`, … together hold each
window once, with its own times. Single face tracks are left out: a long video has hundreds (see the CSV of faces).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ml.reports.people import display_names
from ml.reports.report import ChannelTrack, burst_text, channel_tracks, milliseconds, moment_text, sanitize
from ml.reports.sentences import said_in
from ml.results import Person, Reading, Result, Transcript, Window
from ml.vocabulary import COMBINED, MODALITIES, MODALITY_NAMES, NO_SIGNAL, Modality

MOMENT_SECONDS = 0.2
"""Seconds that a moment lasts as an interval: long enough to be clicked."""

SPEECH = "speech"
"""Label of speech of a person whose words are not known."""

TierKind = Literal["emotion", "confidence", "speech", "bursts", "moments"]


@dataclass(frozen=True)
class Interval:
    """A labelled interval in whole milliseconds, `end` after `start`. `confidence`: of the label, as text; may be
    empty."""

    start: int
    end: int
    label: str
    confidence: str = ""

    @classmethod
    def from_seconds(cls, start: float, end: float, label: str, confidence: str = "") -> "Interval":
        """Return an interval that lasts at least one millisecond."""
        first = milliseconds(start)
        return cls(first, max(milliseconds(end), first + 1), sanitize(label), confidence)


@dataclass(frozen=True)
class Tier:
    """Intervals in order of time. `parent`: name of the tier with the same intervals that this one describes
    further."""

    name: str
    kind: TierKind
    intervals: tuple[Interval, ...]
    participant: str = ""
    parent: str | None = None


def annotation_tiers(result: Result) -> list[Tier]:
    """Return the tiers of a result.

    They are the combined emotion with its confidence, then each modality, of the whole media and of each channel, of
    which the sentences and words follow; then those of the whole media, if no channel has its own; then what each
    person says and the emotion of this person; then vocal bursts and moments. Tiers without intervals are left out; if
    all are, one empty tier is returned.
    """
    names = display_names(result)
    whole, *channels = channel_tracks(result)
    has_words_by_channel = any(track.transcript for track in channels)
    moments = (
        Interval.from_seconds(moment.time, moment.time + MOMENT_SECONDS, moment_text(moment, names))
        for moment in result.moments
    )
    bursts = (
        Interval.from_seconds(burst.start, burst.end, burst_text(burst, names), f"{burst.score:.2f}")
        for burst in result.bursts
    )
    tiers = [
        *(tier for track in (whole, *channels) for tier in _track_tiers(track)),
        *(() if has_words_by_channel else _transcript_tiers(result.transcript)),
        *(tier for person in result.people for tier in _person_tiers(person, names[person.person], result.transcript)),
        *_distribute("bursts", "bursts", bursts),
        *_distribute("moments", "moments", moments),
    ]
    return tiers or [Tier(COMBINED.lower(), "emotion", ())]


def duration_ms(result: Result, tiers: Iterable[Tier]) -> int:
    """Return the milliseconds that cover the media and every interval; at least one."""
    ends = (interval.end for tier in tiers for interval in tier.intervals)
    return max(milliseconds(result.media.duration or 0.0), 1, *ends)


def _track_tiers(track: ChannelTrack) -> Iterator[Tier]:
    prefix = f"{track.name.lower()} " if track.name else ""
    yield from _combined_tiers(prefix, track.name, track.windows)
    for modality in MODALITIES:
        readings = _modality_intervals(track.windows, modality)
        yield from _distribute(f"{prefix}{MODALITY_NAMES[modality].lower()}", "emotion", readings, track.name)
    if track.channel is not None and track.transcript:
        yield from _transcript_tiers(track.transcript, prefix, track.name)
    elif track.channel is not None:  # words that the caller supplied, and those of older results, are known by window
        spoken = ((window, window.modalities.text) for window in track.windows)
        transcripts = (Interval.from_seconds(w.start, w.end, text.transcript) for w, text in spoken if text)
        yield from _distribute(f"{prefix}transcript", "speech", transcripts, track.name)


def _combined_tiers(prefix: str, participant: str, windows: Iterable[Window]) -> Iterator[Tier]:
    """Yield the emotion of each window, and the confidence that describes it."""
    combined = (
        Interval.from_seconds(window.start, window.end, window.emotion or NO_SIGNAL, f"{window.confidence:.2f}")
        for window in windows
    )
    for tier in _distribute(f"{prefix}{COMBINED.lower()}", "emotion", combined, participant):
        yield tier
        confidences = tuple(Interval(each.start, each.end, each.confidence) for each in tier.intervals)
        yield Tier(f"{tier.name} confidence", "confidence", confidences, participant, parent=tier.name)


def _person_tiers(person: Person, name: str, transcript: Transcript) -> Iterator[Tier]:
    """Yield when a person speaks, with the words if they are known, and the person's emotion in the windows that have
    one."""
    said = (said_in(transcript, person.person, span.start, span.end) for span in person.speech)
    spoken = (
        Interval.from_seconds(span.start, span.end, words or SPEECH)
        for span, words in zip(person.speech, said, strict=True)
    )
    yield from _distribute(f"{name} speech", "speech", spoken, name)
    yield from _combined_tiers(f"{name} ", name, (window for window in person.windows if window.emotion))


def _transcript_tiers(transcript: Transcript, prefix: str = "", participant: str = "") -> Iterator[Tier]:
    """Yield the sentences, then the words."""
    segments = transcript.segments
    sentences = (Interval.from_seconds(part.start, part.end, part.text) for part in segments)
    words = (Interval.from_seconds(word.start, word.end, word.word) for part in segments for word in part.words)
    yield from _distribute(f"{prefix}transcript", "speech", sentences, participant)
    yield from _distribute(f"{prefix}transcript words", "speech", words, participant)


def _modality_intervals(windows: Iterable[Window], modality: Modality) -> Iterator[Interval]:
    """Yield the emotion that the modality gives by itself, for the windows that have it."""
    for window in windows:
        if reading := getattr(window.modalities, modality):
            mode = Reading.from_probabilities(reading.probabilities)
            yield Interval.from_seconds(window.start, window.end, mode.emotion or "", f"{mode.confidence:.2f}")


def _distribute(name: str, kind: TierKind, intervals: Iterable[Interval], participant: str = "") -> Iterator[Tier]:
    """Yield tiers `name`, `name 2`, … that hold the intervals, each in the first tier with a free place."""
    rows: list[list[Interval]] = []
    for interval in sorted((each for each in intervals if each.label), key=lambda each: (each.start, each.end)):
        row = next((row for row in rows if row[-1].end <= interval.start), None)
        if row is None:
            rows.append([interval])
        else:
            row.append(interval)
    for number, row in enumerate(rows, 1):
        yield Tier(name if number == 1 else f"{name} {number}", kind, tuple(row), participant)

"""Vocal bursts of a recording: the people they come from, and sentences that are left out because of them."""

from collections.abc import Sequence

from ml.inference.api import TimeSpan
from ml.inference.pipeline.features import AudioFeatures
from ml.inference.voice.bursts import BurstPredictor, FoundBurst, find_bursts
from ml.results import Person, Segment, Transcript, VocalBurst

SURE_SCORE = 0.9
"""Score from which nothing inside a burst is taken for words."""
MIN_INSIDE = 0.8
"""Share of a sentence inside sure bursts from which it is dropped."""
MIN_OF_TURN = 0.3
"""Share of a burst inside the speech of a person from which it is theirs."""


def bursts_of(audio: Sequence[AudioFeatures], predictor: BurstPredictor | None, end: float) -> list[FoundBurst]:
    """Return the bursts of a recording, in order of time. `end`: of its sound, in seconds."""
    if predictor is None or not audio or audio[0].bursts is None:
        return []
    return find_bursts(audio[0].bursts, predictor.thresholds, end)


def vocal_bursts(found: Sequence[FoundBurst], people: Sequence[Person]) -> tuple[VocalBurst, ...]:
    """Return the bursts of a result, each with the person whose speech is around it."""
    return tuple(
        VocalBurst(
            start=round(each.span.start, 3),
            end=round(each.span.end, 3),
            kind=each.kind,
            score=round(min(each.score, 1.0), 4),
            person=_person_of(each.span, people),
        )
        for each in found
    )


def _person_of(span: TimeSpan, people: Sequence[Person]) -> int | None:
    shares = {
        person.person: _inside(span, [TimeSpan(turn.start, turn.end) for turn in person.speech]) for person in people
    }
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= MIN_OF_TURN else None


def without_bursts(transcript: Transcript, found: Sequence[FoundBurst]) -> Transcript:
    """Return a recognized transcript without the sentences inside sure bursts."""
    sure = [each.span for each in found if each.score >= SURE_SCORE]
    if not sure or transcript.source != "whisper":
        return transcript
    kept = tuple(each for each in transcript.segments if _inside(_spoken(each), sure) < MIN_INSIDE)
    if len(kept) == len(transcript.segments):
        return transcript
    text = " ".join(segment.text for segment in kept)
    return transcript.model_copy(update={"segments": kept, "text": text, "source": "whisper" if kept else "none"})


def _spoken(segment: Segment) -> TimeSpan:
    """Return when the words of a sentence are spoken, without the pauses around them."""
    words = segment.words
    return TimeSpan(words[0].start, words[-1].end) if words else TimeSpan(segment.start, segment.end)


def _inside(span: TimeSpan, others: Sequence[TimeSpan]) -> float:
    """Return the share of a span inside others, which do not overlap each other."""
    seconds = sum(max(min(span.end, each.end) - max(span.start, each.start), 0.0) for each in others)
    return seconds / span.length if span.length > 0 else 0.0

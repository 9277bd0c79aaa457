"""The people of a result in reports: their names, how long they talk, also at once, and a result of one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.reports.report import sanitize
from ml.reports.sentences import by_speaker
from ml.results import Modalities, Person, Reading, Result, SpeechSpan, Transcript, Window
from ml.vocabulary import EMOTIONS, MODALITIES, person_name


def display_names(result: Result) -> Mapping[int, str]:
    """Return the display name of each person by number: the caller's name or `Person 2`. No two are the same: the
    number is added to a name that another person has already."""
    names: dict[int, str] = {}
    for person in result.people:
        name = sanitize(person.name or "") or person_name(person.person)
        names[person.person] = f"{name} ({person.person})" if name in names.values() else name
    return names


@dataclass(frozen=True)
class TalkTime:
    """How one person talks.

    Attributes:
        share: of the talk of all people, 0 to 1; null if the report is of one person.
        turns: number of stretches of speech.
        overlap_seconds: seconds in which the person talks while at least one other does.
        overlaps: seconds in which the person and another talk at once, by the other's number; without zeros.
    """

    share: float | None
    turns: int
    overlap_seconds: float
    overlaps: Mapping[int, float]


def talk_times(people: Sequence[Person]) -> Mapping[int, TalkTime]:
    """Return how each person talks, by number."""
    total = sum(person.talk_seconds for person in people)
    return {person.person: _talk_time(person, people, total) for person in people}


def _talk_time(person: Person, people: Sequence[Person], total: float) -> TalkTime:
    others = [other for other in people if other is not person]
    overlaps = {other.person: seconds for other in others if (seconds := seconds_shared(person.speech, other.speech))}
    anyone = union([span for other in others for span in other.speech])
    share = (person.talk_seconds / total if total else 0.0) if others else None
    return TalkTime(share, len(person.speech), seconds_shared(person.speech, anyone), overlaps)


def seconds_shared(left: Sequence[SpeechSpan], right: Sequence[SpeechSpan]) -> float:
    """Return the seconds that are in spans of both, each counted once."""
    first, second = union(left), union(right)
    total, row, column = 0.0, 0, 0
    while row < len(first) and column < len(second):
        shared = min(first[row].end, second[column].end) - max(first[row].start, second[column].start)
        total += max(shared, 0.0)
        if first[row].end <= second[column].end:
            row += 1
        else:
            column += 1
    return total


def union(spans: Sequence[SpeechSpan]) -> tuple[SpeechSpan, ...]:
    """Return the same times as spans that are in order and apart from each other."""
    joined: list[SpeechSpan] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if joined and span.start <= joined[-1].end:
            joined[-1] = SpeechSpan(start=joined[-1].start, end=max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(joined)


def result_of(result: Result, number: int) -> Result:
    """Return what a result says of one person: their windows, overall reading, faces, sentences and moments. Windows in
    which the person is neither seen nor heard have no reading. Raises KeyError if there is no such person."""
    person = next((person for person in result.people if person.person == number), None)
    if person is None:
        raise KeyError(number)
    own = {(window.start, window.end): window for window in person.windows}
    windows = (own.get((window.start, window.end)) or _without_reading(window, number) for window in result.windows)
    segments = tuple(segment for segment in by_speaker(result.transcript) if segment.person == number)
    said = " ".join(segment.text for segment in segments)
    transcript = Transcript(
        source=result.transcript.source, language=result.transcript.language, text=said, segments=segments
    )
    return result.model_copy(
        update={
            "overall": person.overall,
            "windows": tuple(windows),
            "faces": tuple(track for track in result.faces if track.track in person.tracks),
            "transcript": transcript,
            "moments": tuple(moment for moment in result.moments if moment.person == number),
            "bursts": tuple(burst for burst in result.bursts if burst.person == number),
            "channels": None,
            "people": (person,),
        }
    )


def _without_reading(window: Window, number: int) -> Window:
    empty = Reading.empty("full" if set(window.probabilities) == set(EMOTIONS) else "simplified")
    return Window(
        **empty.model_dump(),
        start=window.start,
        end=window.end,
        modalities=Modalities(),
        missing=MODALITIES,
        person=number,
    )

"""People of a recording: which face tracks and which voice belong to one person, in the order of their numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.inference.people.matching import VoiceMatch
from ml.results import PersonMatch


@dataclass(frozen=True)
class FoundPerson:
    """Someone who is seen or heard.

    Attributes:
        tracks: numbers of the face tracks; empty for someone who is only heard.
        speech: when the person speaks, in order of time.
        speaker: number of the speaker; null for someone who says nothing.
        match: how certain it is that face and voice belong together.
    """

    tracks: tuple[int, ...]
    speech: tuple[TimeSpan, ...]
    speaker: int | None
    match: PersonMatch
    seen_seconds: float

    @cached_property
    def track_set(self) -> frozenset[int]:
        return frozenset(self.tracks)

    @property
    def talk_seconds(self) -> float:
        return sum(span.length for span in self.speech)


@dataclass(frozen=True)
class People:
    """People in the order of their numbers, which begin with 1.

    `voices_known`: whether it is known who speaks when. Without it, no person has speech.
    """

    people: tuple[FoundPerson, ...] = ()
    voices_known: bool = True

    @cached_property
    def by_track(self) -> Mapping[int, int]:
        """Number of the person of each face track."""
        return {track: number for number, person in enumerate(self.people, 1) for track in person.tracks}

    @cached_property
    def by_speaker(self) -> Mapping[int, int]:
        """Number of the person of each speaker."""
        return {person.speaker: number for number, person in enumerate(self.people, 1) if person.speaker is not None}

    def __getitem__(self, number: int) -> FoundPerson:
        """Return the person with a number."""
        return self.people[number - 1]


def find_people(
    faces: Sequence[tuple[int, ...]],
    seen_seconds: Mapping[int, float],
    turns: Sequence[Turn] | None,
    matches: Sequence[VoiceMatch],
) -> People:
    """Return the people of a recording, numbered.

    Args:
        faces: tracks of each person who is seen.
        seen_seconds: seconds in which each track is seen.
        turns: who speaks when; null if it is not known.
        matches: which of `faces` has which voice. A face or voice that is in none of them is a person of its own.
    """
    speech: dict[int, list[TimeSpan]] = {}
    for turn in turns or ():
        speech.setdefault(turn.speaker, []).append(turn.span)
    pairs = {match.face_person: match for match in matches if match.face_person is not None and match.speaker in speech}
    matched = {match.speaker for match in pairs.values()}
    found = []
    for place, tracks in enumerate(faces):
        match, seconds = pairs.get(place), sum(seen_seconds[track] for track in tracks)
        speaker = match.speaker if match else None
        spans = () if speaker is None else tuple(speech[speaker])
        found.append(FoundPerson(tuple(sorted(tracks)), spans, speaker, match.certainty if match else "none", seconds))
    found += [
        FoundPerson((), tuple(spans), speaker, "none", 0.0)
        for speaker, spans in sorted(speech.items())
        if speaker not in matched
    ]
    order = sorted(
        found,
        key=lambda person: (
            not person.tracks,
            -round(person.seen_seconds, 6),
            -round(person.talk_seconds, 6),
            person.tracks[:1],
            person.speaker or 0,
        ),
    )
    return People(tuple(order), turns is not None)


def seen_seconds(tracks: Sequence[Sequence[int]], times: Sequence[float]) -> dict[int, float]:
    """Return how long each track is seen. Each sampled frame counts until the next one, but no longer than most do.

    `tracks`: those of each frame, `times`: seconds of each.
    """
    steps = [later - earlier for earlier, later in pairwise(times)]
    step = sorted(steps)[len(steps) // 2] if steps else 0.0
    counts = Counter(number for frame in tracks for number in frame)
    return {number: count * step for number, count in counts.items()}

"""Whose voice belongs to which face."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml.inference.people.diarization import Turn
from ml.results import PersonMatch


@dataclass(frozen=True)
class VoiceMatch:
    """A person who is seen and the speaker whose voice is theirs; null for a face without a voice, or the reverse."""

    face_person: int | None
    speaker: int | None
    certainty: PersonMatch


def match_voices(people_faces: Sequence[tuple[int, ...]], turns: Sequence[Turn]) -> list[VoiceMatch]:
    """Return which of the people who are seen has which voice: the only face and the only voice are one person's."""
    if len(people_faces) == 1 and {turn.speaker for turn in turns} == {0}:
        return [VoiceMatch(0, 0, "likely")]
    return []

import pytest

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import Turn
from ml.inference.people.matching import VoiceMatch
from ml.inference.people.people import find_people, seen_seconds

SEEN = {1: 4.0, 2: 10.0, 3: 5.0}
TURNS = [Turn(TimeSpan(0, 3), 0), Turn(TimeSpan(3, 4), 1), Turn(TimeSpan(5, 9), 0)]


def test_people_who_are_seen_come_first_by_the_time_then_voices() -> None:
    people = find_people([(1, 3), (2,)], SEEN, TURNS, [VoiceMatch(1, 1, "sure")])
    assert [person.tracks for person in people.people] == [(2,), (1, 3), ()]
    assert [person.talk_seconds for person in people.people] == [1, 0, 7]
    assert [person.match for person in people.people] == ["sure", "none", "none"]
    assert people.by_track == {1: 2, 2: 1, 3: 2}
    assert people.by_speaker == {1: 1, 0: 3}
    assert people[3].speech == (TimeSpan(0, 3), TimeSpan(5, 9))


def test_without_voices_nobody_speaks() -> None:
    people = find_people([(1,)], SEEN, None, [])
    assert not people.voices_known
    assert people[1].speech == ()
    assert people.by_speaker == {}


def test_a_match_that_names_nobody_leaves_face_and_voice_apart() -> None:
    people = find_people([(1,)], SEEN, TURNS, [VoiceMatch(None, 0, "none"), VoiceMatch(0, None, "none")])
    assert [(person.tracks, person.speaker) for person in people.people] == [((1,), None), ((), 0), ((), 1)]


def test_a_recording_without_anybody_has_no_people() -> None:
    assert find_people([], {}, [], []).people == ()


def test_tracks_are_seen_for_the_step_of_their_frames() -> None:
    assert seen_seconds([[1], [1, 2], [], [2]], [0.0, 0.25, 0.5, 3.0]) == pytest.approx({1: 0.5, 2: 0.5})
    assert seen_seconds([], []) == {}

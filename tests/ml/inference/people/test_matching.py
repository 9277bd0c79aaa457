import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.face.quality import MOUTH, QUALITIES
from ml.inference.people.diarization import Turn
from ml.inference.people.matching import AGAINST, Mouth, VoiceMatch, match_voices, mouths_of

STEP = 0.25


def mouth(*moving: tuple[float, float], start: float = 0, end: float = 20) -> Mouth:
    """Return a mouth that is seen from `start` to `end` and moves in these spans."""
    times = np.arange(start, end, STEP)
    movement = np.full(len(times), AGAINST, np.float32)
    for first, last in moving:
        movement[(times >= first) & (times < last)] = 1
    return Mouth(times, np.full(len(times), STEP), movement)


def turn(start: float, end: float, speaker: int = 0) -> Turn:
    return Turn(TimeSpan(start, end), speaker)


def pairs(found: list[VoiceMatch]) -> dict[int | None, int | None]:
    return {match.speaker: match.face_person for match in found}


def test_match_voices_two_faces_side_by_side_get_the_voice_that_moves_their_mouth() -> None:
    turns = [turn(0, 5, 0), turn(5, 10, 1), turn(10, 15, 0), turn(15, 19, 1)]
    first, second = mouth((5, 10), (15, 19)), mouth((0, 5), (10, 15))
    found = match_voices([(1,), (2,)], turns, [first, second])
    assert pairs(found) == {0: 1, 1: 0}
    assert {match.certainty for match in found} == {"sure"}


def test_match_voices_shot_and_counter_shot_of_the_listener() -> None:
    turns = [turn(0, 5, 0), turn(5, 10, 1)]
    listens, speaks = mouth(end=2), mouth((5, 9), start=5, end=9)
    first = Mouth(
        np.concatenate([listens.times_T, speaks.times_T]),
        np.concatenate([listens.seconds_T, speaks.seconds_T]),
        np.concatenate([listens.movement_T, speaks.movement_T]),
    )
    second = mouth((2, 5), start=2, end=5)
    assert pairs(match_voices([(1,), (2,)], turns, [first, second])) == {0: 1, 1: 0}


def test_match_voices_a_narrator_has_no_face() -> None:
    assert match_voices([(1,)], [turn(0, 10)], [mouth()]) == []
    turns = [turn(0, 8, 0), turn(10, 15, 1)]
    assert pairs(match_voices([(1,)], turns, [mouth((10, 15))])) == {1: 0}


def test_match_voices_a_mouth_that_moves_all_the_time_is_not_the_voice_of_a_short_turn() -> None:
    assert match_voices([(1,), (2,)], [turn(0, 4)], [mouth((0, 20)), mouth()]) == []


def test_match_voices_the_only_face_and_the_only_voice_belong_together_unless_the_mouth_is_still() -> None:
    unknown = Mouth(np.arange(4) * STEP, np.full(4, STEP), np.zeros(4, np.float32))
    assert match_voices([(1,)], [turn(0, 1)], [unknown]) == [VoiceMatch(0, 0, "likely")]
    assert match_voices([(1,)], [turn(0, 5)], [mouth((0, 5))]) == [VoiceMatch(0, 0, "sure")]


def test_match_voices_what_two_say_at_once_tells_nothing() -> None:
    turns = [turn(0, 10, 0), turn(0, 10, 1)]
    assert match_voices([(1,), (2,)], turns, [mouth((0, 10)), mouth((0, 10))]) == []


@pytest.mark.parametrize("people", [[], [(1,)]])
def test_match_voices_without_faces_or_voices_is_empty(people: list[tuple[int, ...]]) -> None:
    assert match_voices(people, [], [mouth()] * len(people)) == []


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(1, 6), st.integers(0, 3)), max_size=8), st.integers(0, 4))
def test_match_voices_gives_each_face_and_each_voice_once(spans: list[tuple[int, int, int]], people: int) -> None:
    turns = [turn(start, start + length, speaker) for start, length, speaker in spans]
    mouths = [mouth((4 * number, 4 * number + 6)) for number in range(people)]
    found = match_voices([(number,) for number in range(people)], turns, mouths)
    for field in ("face_person", "speaker"):
        values = [getattr(match, field) for match in found]
        assert len(values) == len(set(values))
        assert None not in values


def test_mouths_of_tell_speech_from_a_still_and_an_unknown_mouth() -> None:
    times = np.arange(40) * STEP
    speaking = 0.03 + 0.02 * np.sin(np.arange(40) * 2.1)
    qualities = np.zeros((120, len(QUALITIES)), np.float32)
    qualities[0::3, MOUTH] = speaking
    qualities[1::3, MOUTH] = 0.06
    qualities[2::3, MOUTH] = np.nan
    empty = FaceObservations.empty()
    faces = FaceObservations(
        times_F=times,
        starts_G=np.arange(41) * 3,
        boxes_N4=np.zeros((120, 4)),
        scores_N=empty.scores_N,
        ranks_N=empty.ranks_N,
        embeddings_NE=empty.embeddings_NE,
        log_probabilities_NC=empty.log_probabilities_NC,
        qualities_NQ=qualities,
    )
    mouths = mouths_of([(1,), (2,), (3,)], [[1, 2, 3]] * 40, faces)
    assert (mouths[0].movement_T > 0.4).all()
    assert (mouths[1].movement_T == AGAINST).all()
    assert (mouths[2].movement_T == 0).all()
    assert mouths[0].seconds_T.sum() == pytest.approx(10)

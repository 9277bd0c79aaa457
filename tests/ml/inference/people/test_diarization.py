import numpy as np
import pytest

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.people.diarization import FRAME_SECONDS, Piece, diarize, joined, spans_of, stretch_starts

ANN, BO = np.eye(192, dtype=np.float32)[:2]


def piece(start: float, end: float, embedding: np.ndarray | None = None) -> Piece:
    return Piece(TimeSpan(start, end), embedding, 0.0 if embedding is None else end - start)


def test_turns_are_joined_over_short_pauses_and_speakers_numbered_by_their_speech() -> None:
    turns = diarize([piece(0, 4, ANN), piece(5, 10, BO), piece(10.2, 14, BO)])
    assert [(turn.span.start, turn.span.end, turn.speaker) for turn in turns] == [(0, 4, 1), (5, 14, 0)]


def test_speakers_may_overlap() -> None:
    turns = diarize([piece(0, 5, ANN), piece(4, 9, BO)])
    assert {turn.speaker for turn in turns if turn.span.start < 4.5 < turn.span.end} == {0, 1}


def test_a_piece_without_an_embedding_belongs_to_the_speaker_beside_it() -> None:
    turns = diarize([piece(0, 5, ANN), piece(20, 25, BO), piece(25.1, 25.3)])
    assert [turn.speaker for turn in turns] == [1, 0]
    assert turns[1].span == TimeSpan(20, 25.3)


def test_a_speaker_of_little_speech_is_taken_for_the_most_similar_other_one() -> None:
    similar = (ANN + BO * 2) / np.sqrt(5)
    assert {turn.speaker for turn in diarize([piece(0, 9, BO), piece(10, 19, ANN), piece(20, 21, similar)])} == {0, 1}


def test_the_number_of_speakers_may_be_given() -> None:
    pieces = [piece(0, 5, ANN), piece(5, 10, BO)]
    assert {turn.speaker for turn in diarize(pieces, max_speakers=1)} == {0}
    alike = (ANN * 2 + BO) / np.sqrt(5)
    assert len({turn.speaker for turn in diarize([piece(0, 5, ANN), piece(6, 8, alike)])}) == 1
    assert len({turn.speaker for turn in diarize([piece(0, 5, ANN), piece(6, 8, alike)], min_speakers=2)}) == 2


def test_no_speech_has_no_turns() -> None:
    assert diarize([]) == [] == diarize([piece(0, 1)])


@pytest.mark.parametrize(
    ("duration", "expected"), [(0.5, [0]), (10, [0]), (10.1, [0, 5]), (16, [0, 5, 10]), (20, [0, 5, 10])]
)
def test_stretches_cover_the_sound(duration: float, expected: list[float]) -> None:
    assert list(stretch_starts(duration, [TimeSpan(0, duration)], WHOLE_MEDIA)) == expected


def test_parts_have_the_stretches_of_the_whole_where_there_is_speech() -> None:
    speech = [TimeSpan(2, 3), TimeSpan(41, 44)]
    whole = list(stretch_starts(60, speech, WHOLE_MEDIA))
    parts = [*stretch_starts(60, speech, TimeSpan(0, 30)), *stretch_starts(60, speech, TimeSpan(30, 60))]
    assert whole == parts == [0, 35, 40]


def test_spans_of_frames_are_joined_over_short_gaps() -> None:
    active = np.array([0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    step = FRAME_SECONDS
    assert spans_of(active, 0.05) == [TimeSpan(step, 5 * step), TimeSpan(13 * step, 14 * step)]


def test_joined_spans_are_in_order_and_hold_what_lies_inside() -> None:
    assert joined([TimeSpan(4, 5), TimeSpan(0, 3), TimeSpan(1, 2)], 0.5) == [TimeSpan(0, 3), TimeSpan(4, 5)]

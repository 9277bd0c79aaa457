import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.people.diarization import diarize
from ml.inference.people.speech_pieces import SpeechPieces

ANN, BO = np.eye(192, dtype=np.float32)[:2]
Piece = tuple[float, float] | tuple[float, float, np.ndarray]


def pieces(*each: Piece) -> SpeechPieces:
    """Return pieces: start, end, and the embedding if there is one."""
    embeddings = [piece[2] if len(piece) == 3 else np.zeros(192, np.float32) for piece in each]
    weights = [piece[1] - piece[0] if len(piece) == 3 else 0.0 for piece in each]
    spans = np.array([piece[:2] for piece in each], np.float64)
    return SpeechPieces(spans, np.stack(embeddings), np.array(weights, np.float32), np.arange(len(each)))


def test_turns_are_joined_over_short_pauses_and_speakers_numbered_by_their_speech() -> None:
    turns = diarize(pieces((0, 5, ANN), (6, 10, BO), (10.2, 14, BO)))
    assert [(turn.span.start, turn.span.end, turn.speaker) for turn in turns] == [(0, 5, 1), (6, 14, 0)]


def test_speakers_may_overlap() -> None:
    turns = diarize(pieces((0, 5, ANN), (4, 9, BO)))
    assert {turn.speaker for turn in turns if turn.span.start < 4.5 < turn.span.end} == {0, 1}


def test_a_piece_without_an_embedding_belongs_to_the_speaker_beside_it() -> None:
    turns = diarize(pieces((0, 5, ANN), (20, 25, BO), (25.1, 25.3)))
    assert [turn.speaker for turn in turns] == [1, 0]
    assert turns[1].span == TimeSpan(20, 25.3)


def test_a_speaker_of_little_speech_is_taken_for_the_most_similar_other_one() -> None:
    similar = (ANN + BO * 2) / np.sqrt(5)
    turns = diarize(pieces((0, 9, BO), (10, 19, ANN), (20, 21, similar)))
    assert {turn.speaker for turn in turns} == {0, 1}


def test_the_number_of_speakers_may_be_given() -> None:
    two = pieces((0, 5, ANN), (5, 10, BO))
    assert {turn.speaker for turn in diarize(two, max_speakers=1)} == {0}
    alike = pieces((0, 5, ANN), (6, 8, (ANN * 2 + BO) / np.sqrt(5)))
    assert len({turn.speaker for turn in diarize(alike)}) == 1
    assert len({turn.speaker for turn in diarize(alike, min_speakers=2)}) == 2


def test_no_speech_has_no_turns() -> None:
    assert diarize(SpeechPieces.empty()) == [] == diarize(pieces((0, 1)))


def test_local_speakers_who_overlap_are_two_people_even_if_they_sound_alike() -> None:
    alike = (ANN * 3 + BO) / np.sqrt(10)
    local = dataclasses.replace(pieces((0, 6, ANN), (5, 7, alike), (8, 16, BO)), locals_Q=np.array([0, 1, 3]))
    spans = {turn.speaker: turn.span for turn in diarize(local)}
    assert spans[1] == TimeSpan(0, 6)
    assert len(diarize(local)) == 3 or spans[0].start == 5


def test_what_all_speakers_have_in_common_is_removed_from_a_long_recording() -> None:
    room = np.eye(192, dtype=np.float32)[2] * 1.4
    ann, bo = ((voice + room) / np.linalg.norm(voice + room) for voice in (ANN, BO))
    assert ann @ bo > 0.6
    assert len({turn.speaker for turn in diarize(pieces((0, 30, ann), (31, 60, bo)))}) == 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.floats(0, 3)), max_size=20))
def test_all_pieces_are_in_turns_of_consecutive_speakers(drawn: list[tuple[int, int, float]]) -> None:
    voices = np.eye(192, dtype=np.float32)
    each = pieces(*((2.0 * n, 2.0 * n + 1, voices[who]) for n, (who, _, _) in enumerate(drawn))) if drawn else None
    if each is None:
        return
    weights = np.array([weight for _, _, weight in drawn], np.float32)
    found = diarize(dataclasses.replace(each, weights_Q=weights, locals_Q=np.array([local for _, local, _ in drawn])))
    speakers = {turn.speaker for turn in found}
    assert speakers == set(range(len(speakers)))
    assert bool(found) == bool((weights > 0).any())

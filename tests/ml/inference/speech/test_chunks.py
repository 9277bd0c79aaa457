import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.inference.api import TimeSpan
from ml.inference.speech.chunks import MAX_CHUNK_SECONDS, PackedChunk, pack_speech
from ml.inference.speech.recognizer import RecognizedWord
from ml.media import SAMPLE_RATE
from tests.speech_files import noise


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[TimeSpan], float]:
    """Spans in order, apart, inside a duration; some longer than a chunk."""
    time, spans = draw(st.floats(0, 3)), []
    for gap, length in draw(st.lists(st.tuples(st.floats(0.1, 8), st.floats(0.2, 40)), max_size=8)):
        spans.append(TimeSpan(time + gap, time + gap + length))
        time = spans[-1].end
    return spans, time + draw(st.floats(0, 3))


@given(speech())
def test_pack_speech_has_all_speech_once_in_short_chunks(case: tuple[list[TimeSpan], float]) -> None:
    spans, duration = case
    pcm = np.zeros(round(duration * SAMPLE_RATE), np.int16)
    chunks = pack_speech(pcm, spans)
    pieces = [piece for chunk in chunks for piece in chunk.pieces]
    edges = [edge for piece in pieces for edge in piece]
    assert edges == sorted(edges)
    assert all(0 <= first < last <= len(pcm) for first, last in pieces)
    assert all(chunk.seconds <= MAX_CHUNK_SECONDS for chunk in chunks)
    covered = np.zeros(len(pcm), np.int8)
    for first, last in pieces:
        covered[first:last] += 1
    for span in spans:
        assert np.all(covered[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)] == 1)


def test_pack_speech_cuts_long_speech_at_quiet_places() -> None:
    sound = noise(30)
    pause = round(12.3 * SAMPLE_RATE)
    sound[pause : pause + 2000] = 0
    first, *_ = pack_speech(sound, [TimeSpan(0, 30)])
    assert pause <= first.pieces[0][1] <= pause + 2000


@given(speech(), st.data())
def test_media_time_is_where_the_word_was_spoken(case: tuple[list[TimeSpan], float], data: st.DataObject) -> None:
    spans, duration = case
    for chunk in pack_speech(np.zeros(round(duration * SAMPLE_RATE), np.int16), spans):
        before = 0
        for first, last in chunk.pieces:
            start, end = sorted(data.draw(st.tuples(st.integers(first, last - 1), st.integers(first, last - 1))))
            word = RecognizedWord(
                (start - first + before) / SAMPLE_RATE, (end - first + before) / SAMPLE_RATE, " x", 1.0
            )
            assert chunk.media_time(word) == pytest.approx((start / SAMPLE_RATE, end / SAMPLE_RATE), abs=1e-6)
            before += last - first


def test_media_time_of_a_word_over_a_cut_is_that_of_its_middle() -> None:
    chunk = PackedChunk(((0, SAMPLE_RATE), (5 * SAMPLE_RATE, 6 * SAMPLE_RATE)))
    assert chunk.media_time(RecognizedWord(0.5, 1.2, " x", 1.0)) == (0.5, 1.0)
    assert chunk.media_time(RecognizedWord(0.9, 1.6, " x", 1.0)) == (5.0, 5.6)
    assert chunk.media_time(RecognizedWord(2.5, 9.0, " x", 1.0)) == (6.0, 6.0)


def test_media_time_at_the_first_sample_of_a_piece_is_inside() -> None:
    """1001 / 16,000 times 16,000 is a little less than 1001."""
    first = 5 * SAMPLE_RATE
    chunk, at = PackedChunk(((0, 1001), (first, first + SAMPLE_RATE))), 1001 / SAMPLE_RATE
    assert chunk.media_time(RecognizedWord(at, at, " x", 1.0)) == (5.0, 5.0)

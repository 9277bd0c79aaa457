import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.errors import Cancelled
from ml.inference.api import TimeSpan
from ml.inference.speech.recognizer import RecognizedClip, RecognizedWord
from ml.inference.speech.transcriber import (
    MAX_CHUNK_SECONDS,
    MAX_SEGMENT_SECONDS,
    PackedChunk,
    Transcriber,
    Transcription,
    pack_speech,
    split_sentences,
    unavailable_notice,
)
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from tests.speech_files import Sound, ignore, melody, noise, say, silence

TRAIN = "The train to the coast was late again this morning."
MUSEUM = "Nobody told us that the museum is closed on Mondays."
GARDEN = "My grandmother has a small house with a garden full of roses."


def codes(found: Transcription) -> list[str]:
    return [notice.code for notice in found.notices]


def plain(text: str) -> list[str]:
    return [word.strip(".,!?").lower() for word in text.split()]


def between(found: Transcription, start: float, end: float) -> list[str]:
    words = [word for segment in found.segments for word in segment.words]
    return plain(" ".join(word.word for word in words if start <= (word.start + word.end) / 2 < end))


# --- with the real model ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    loaded = Transcriber.load("tiny.en", tmp_path_factory.mktemp("empty"), torch.device("cpu"))
    assert loaded is not None
    return loaded


def transcribe(transcriber: Transcriber, sound: Sound, language: str | None = None) -> Transcription:
    return transcriber.transcribe(sound, speech_segments(sound, ignore), language, ignore, ignore)


def test_transcriber_load_without_weights_is_none(tmp_path: Path) -> None:
    assert Transcriber.load("large-v3", tmp_path, torch.device("cpu")) is None
    notice = unavailable_notice("large-v3")
    assert notice.code == "transcript_unavailable"
    assert "large-v3" in notice.message


def test_transcribe_finds_the_words_at_their_times(transcriber: Transcriber) -> None:
    parts = [noise(6), say(TRAIN), silence(4), say(MUSEUM), melody(5), say(GARDEN), silence(1)]
    edges = np.cumsum([0, *(len(part) for part in parts)]) / SAMPLE_RATE
    found = transcribe(transcriber, np.concatenate(parts))
    assert found.language == "en"
    assert codes(found) == []
    for text, index in ((TRAIN, 1), (MUSEUM, 3), (GARDEN, 5)):
        said = between(found, edges[index], edges[index + 1])
        assert len(set(plain(text)) & set(said)) >= 0.8 * len(set(plain(text)))
    assert between(found, 0, edges[1]) == between(found, edges[2] + 0.2, edges[3]) == []


def test_transcribe_segments_are_ordered_and_contain_their_words(transcriber: Transcriber) -> None:
    found = transcribe(transcriber, np.concatenate([say(TRAIN), silence(2), say(MUSEUM)]))
    times = [edge for segment in found.segments for word in segment.words for edge in (word.start, word.end)]
    assert times == sorted(times)
    for segment in found.segments:
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert plain(segment.text) == plain(" ".join(word.word for word in segment.words))


def test_transcribe_is_repeatable_after_other_sounds(transcriber: Transcriber) -> None:
    sound = np.concatenate([say(MUSEUM), silence(2), say(TRAIN)])
    alone = transcribe(transcriber, sound)
    transcribe(transcriber, np.concatenate([say(GARDEN), say("Der Zug kam heute wieder zu spät.", "de")]))
    assert transcribe(transcriber, sound) == alone
    as_floats = sound.astype(np.float32) / np.float32(32768)
    assert transcriber.transcribe(as_floats, speech_segments(as_floats, ignore), None, ignore, ignore) == alone


def test_transcribe_with_larger_batches_loses_no_word(transcriber: Transcriber) -> None:
    parts = [part for text in (TRAIN, MUSEUM, GARDEN) * 3 for part in (say(text), silence(2))]
    sound = np.concatenate(parts)
    together = Transcriber("tiny.en", transcriber._recognizer, batches_per_call=3)
    assert len(together.batches(sound, speech_segments(sound, ignore))) > 1
    alone = transcribe(transcriber, sound)
    assert len(alone.segments) == 9 and transcribe(together, sound) == alone


@pytest.mark.parametrize(
    ("voice", "text"),
    [
        ("de", "Der Zug an die Küste kam heute Morgen wieder zu spät. Ich habe auf dem Bahnsteig gewartet."),
        ("pl", "Pociąg na wybrzeże znowu się dziś rano spóźnił. Czekałem na peronie i piłem kawę."),
        ("fr", "Le train pour la côte était encore en retard ce matin. J'ai attendu sur le quai avec un café."),
    ],
)
def test_transcribe_another_language_gives_no_english_sentences(
    transcriber: Transcriber, voice: str, text: str
) -> None:
    found = transcribe(transcriber, say(text, voice))
    assert found.segments == ()
    assert found.language is None
    assert codes(found) == ["language_undetected"]


@pytest.mark.parametrize("sound", [noise(8), melody(8), silence(8)], ids=["noise", "melody", "silence"])
def test_transcribe_invents_no_sentence_for_other_sounds(transcriber: Transcriber, sound: Sound) -> None:
    found = transcriber.transcribe(sound, [TimeSpan(0.5, 7.5)], None, ignore, ignore)
    assert found.segments == ()
    assert found.language is None


def test_transcribe_keeps_english_next_to_another_language(transcriber: Transcriber) -> None:
    foreign = say("Pociąg na wybrzeże znowu się dziś rano spóźnił. Czekałem na peronie i piłem kawę.", "pl")
    sound = np.concatenate([foreign, silence(3), say(MUSEUM), say(GARDEN)])
    found = transcribe(transcriber, sound)
    edge = len(foreign) / SAMPLE_RATE
    assert {"museum", "garden", "roses"} <= set(between(found, edge, 60))
    assert between(found, 0, edge) == []
    assert codes(found) == ["language_undetected"]


def test_transcribe_unsupported_language_gives_a_notice(transcriber: Transcriber) -> None:
    found = transcribe(transcriber, say(TRAIN), "de")
    assert found.segments == ()
    assert codes(found) == ["language_unsupported"]
    assert transcribe(transcriber, say(TRAIN), "en").language == "en"


# --- with a decoder that answers as told -----------------------------------------------------------------------------


def heard(text: str, probability: float = 0.95, seconds: float = 0.6, **doubts: float) -> RecognizedClip:
    """Six words of that length are the speech of a chunk of `run`."""
    words = tuple(
        RecognizedWord(0.4 + index * seconds, 0.4 + (index + 1) * seconds, " " + word, probability)
        for index, word in enumerate(text.split())
    )
    return RecognizedClip(
        words, **{"log_probability": math.log(probability), "no_speech": 0.05, "compression": 1.2, **doubts}
    )


class Told:
    """Answers each chunk with the next of `answers`; `spoken` maps a sound to probabilities of languages."""

    def __init__(
        self, *answers: RecognizedClip, languages: Sequence[str] = ("en",), spoken: dict[str, float] | None = None
    ):
        self.languages = tuple(languages)
        self.asked: list[str] = []
        self._answers = list(answers)
        self._spoken = spoken or {}

    def detect_language(self, sound: NDArray[np.float32]) -> dict[str, float]:
        return self._spoken

    def recognize(self, sounds: Sequence[NDArray[np.float32]], language: str) -> list[RecognizedClip]:
        self.asked += [language] * len(sounds)
        return [self._answers.pop(0) for _ in sounds]


def run(told: Told, language: str | None = None, check: Callable[[], None] = ignore) -> Transcription:
    """As many chunks as there are answers, of 3.6 s of speech each, ten seconds apart."""
    spans = [TimeSpan(index * 10.0 + 1, index * 10.0 + 4.6) for index in range(len(told._answers))]
    sound = silence(len(spans) * 10)
    return Transcriber("told", told).transcribe(sound, spans, language, check, ignore)


GOOD = heard("the museum is closed on mondays.")


def test_transcribe_keeps_clear_words() -> None:
    found = run(Told(GOOD))
    assert [segment.text for segment in found.segments] == ["the museum is closed on mondays."]
    assert (found.language, found.notices) == ("en", ())


@pytest.mark.parametrize(
    "doubtful",
    [
        heard("thank you very much.", 0.3),
        heard("thank you very much.", 0.55, no_speech=0.9),
        heard("i do not know " * 6, 0.2, seconds=0.15, log_probability=-0.2, compression=8.0),
        heard("thank you very much.", 0.95, seconds=0.02),
    ],
    ids=["improbable", "no speech", "loop", "too fast"],
)
def test_transcribe_drops_doubtful_words_with_a_notice(doubtful: RecognizedClip) -> None:
    alone = run(Told(doubtful))
    assert (alone.segments, alone.language, codes(alone)) == ((), None, ["language_undetected"])
    beside = run(Told(GOOD, GOOD, GOOD, doubtful))
    assert len(beside.segments) == 3
    assert beside.language == "en"


def test_transcribe_mostly_doubtful_speech_has_no_language() -> None:
    poor = heard("thank you very much for this.", 0.3)
    found = run(Told(GOOD, poor, poor))
    assert found.language is None
    assert codes(found) == ["language_undetected"]
    assert len(found.segments) == 1


def test_transcribe_some_doubtful_speech_makes_the_transcript_uncertain() -> None:
    found = run(Told(GOOD, GOOD, heard("thank you very much for this.", 0.3)))
    assert (found.language, codes(found), len(found.segments)) == ("en", ["transcript_uncertain"], 2)


def test_transcribe_takes_the_language_of_the_caller() -> None:
    found = run(Told(heard("thank you.", 0.3)), language="en")
    assert (found.language, codes(found), found.segments) == ("en", ["transcript_uncertain"], ())


def test_transcribe_keeps_real_repetition() -> None:
    again = heard("stop it. " * 6, 0.9, seconds=0.3, compression=5.0)
    assert len(run(Told(again)).segments) == 6


def test_transcribe_multilingual_model_detects_the_language() -> None:
    told = Told(GOOD, GOOD, languages=("de", "en", "pl"), spoken={"de": 0.2, "pl": 0.7, "en": 0.1})
    assert run(told).language == "pl"
    assert told.asked == ["pl", "pl"]
    named = Told(GOOD, languages=("de", "en", "pl"), spoken={"pl": 0.9})
    assert run(named, language="de").language == "de"
    assert named.asked == ["de"]


def test_transcribe_without_speech_does_not_call_the_recognizer() -> None:
    found = run(Told())
    assert found == Transcription()


def test_transcribe_cancelled_job_stops_between_batches() -> None:
    told = Told(*[GOOD] * 12)
    calls: list[None] = []

    def stop() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run(told, check=stop)
    assert 0 < len(told.asked) < 12


@pytest.mark.parametrize("at_once", [1, 2])
def test_transcribe_progress_grows_to_one(at_once: int) -> None:
    told, shares = Told(*[GOOD] * 9), list[float]()
    spans = [TimeSpan(index * 10.0 + 1, index * 10.0 + 9) for index in range(9)]
    Transcriber("told", told, at_once).transcribe(silence(90), spans, None, ignore, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# --- packing and mapping ---------------------------------------------------------------------------------------------


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


def test_split_sentences_cuts_words_at_pauses() -> None:
    chunk = PackedChunk(((0, 4 * SAMPLE_RATE),))
    spans = [TimeSpan(0.2, 1.0), TimeSpan(2.0, 3.5)]
    words = (
        RecognizedWord(0.2, 0.9, " one", 0.9),
        RecognizedWord(0.9, 2.6, " two", 0.9),
        RecognizedWord(2.6, 3.9, " three", 0.9),
    )
    (sentence,) = split_sentences(chunk, RecognizedClip(words, -0.1, 0.0, 1.0), spans)[1:] or [None]
    assert sentence is not None
    assert [(word.start, word.end) for word in sentence.words] == [(2.0, 2.6), (2.6, 3.5)]


def test_split_sentences_at_full_stops_and_maximum_length() -> None:
    chunk = PackedChunk(((0, 15 * SAMPLE_RATE),))
    spans = [TimeSpan(0, 15)]
    two = split_sentences(chunk, heard("this is one. this is two", seconds=0.4), spans)
    assert ["".join(word.text for word in sentence.words).strip() for sentence in two] == [
        "this is one.",
        "this is two",
    ]
    long = split_sentences(chunk, heard("word " * 35, seconds=0.4), spans)
    assert sum(len(sentence.words) for sentence in long) == 35
    assert all(sentence.words[-1].end - sentence.words[0].start <= MAX_SEGMENT_SECONDS for sentence in long)


def test_split_sentences_without_words_is_empty() -> None:
    assert split_sentences(PackedChunk(((0, SAMPLE_RATE),)), RecognizedClip(), [TimeSpan(0, 1)]) == []

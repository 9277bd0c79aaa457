from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.errors import Cancelled
from ml.inference.api import TimeSpan
from ml.inference.speech.recognizer import RecognizedClip
from ml.inference.speech.transcriber import Transcriber, Transcription, unavailable_notice
from ml.inference.voice.vad import speech_segments
from ml.media import SAMPLE_RATE
from tests.recognized_clips import heard
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


class Told:
    """Answers each chunk with the next of `answers`; `spoken` maps a sound to probabilities of languages."""

    def __init__(
        self, *answers: RecognizedClip, languages: Sequence[str] = ("en",), spoken: dict[str, float] | None = None
    ):
        self.languages = tuple(languages)
        self.detectable_languages = frozenset(languages)
        self.asked: list[str] = []
        self._answers = list(answers)
        self._spoken = spoken or {}

    def detect_languages(self, sounds: Sequence[NDArray[np.float32]]) -> list[dict[str, float]]:
        return [self._spoken] * len(sounds)

    def recognize(self, sounds: Sequence[NDArray[np.float32]], language: str) -> list[RecognizedClip]:
        self.asked += [language] * len(sounds)
        return [self._answers.pop(0) for _ in sounds]


def run(
    told: Told, language: str | None = None, check: Callable[[], None] = ignore, chunks: int | None = None
) -> Transcription:
    """Chunks (as many as there are answers) of 3.6 s of speech each, ten seconds apart."""
    count = len(told._answers) if chunks is None else chunks
    spans = [TimeSpan(index * 10.0 + 1, index * 10.0 + 4.6) for index in range(count)]
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
    told = Told(GOOD, GOOD, languages=("de", "en", "pl"), spoken={"de": 0.04, "pl": 0.92, "en": 0.04})
    found = run(told)
    assert (found.language, [segment.language for segment in found.segments]) == ("pl", ["pl", "pl"])
    assert told.asked == ["pl", "pl"]
    named = Told(GOOD, languages=("de", "en", "pl"), spoken={"pl": 0.9})
    assert run(named, language="de").language == "de"
    assert named.asked == ["de"]


def test_transcribe_words_decide_between_likely_languages() -> None:
    poor = heard("křičí na něj celý den.", 0.5)
    told = Told(poor, GOOD, languages=("cs", "en", "pl"), spoken={"cs": 0.6, "pl": 0.3, "en": 0.01})
    found = run(told, chunks=1)
    assert told.asked == ["cs", "pl"]
    assert (found.language, found.notices) == ("pl", ())


@pytest.mark.parametrize(
    ("spoken", "answer"),
    [({"hi": 0.9, "en": 0.02}, GOOD), ({"en": 0.6}, heard("making him a tiger.", 0.45))],
    ids=["not detectable", "not certain"],
)
def test_transcribe_leaves_the_language_open(spoken: dict[str, float], answer: RecognizedClip) -> None:
    told = Told(answer, languages=("en", "hi"), spoken=spoken)
    told.detectable_languages = frozenset({"en"})
    found = run(told)
    assert (found.segments, found.language, codes(found)) == ((), None, ["language_undetected"])
    assert run(Told(GOOD, languages=("en", "hi")), language="hi").language == "hi"


def test_transcribe_each_stretch_in_its_language() -> None:
    told = Told(*[GOOD] * 4, languages=("en", "es"))
    answers = iter([{"es": 0.95}, {"es": 0.9}, {"en": 0.95}, {"en": 0.97}])
    told.detect_languages = lambda sounds: [next(answers) for _ in sounds]  # type: ignore[method-assign]
    found = run(told)
    assert [segment.language for segment in found.segments] == ["es", "es", "en", "en"]
    assert found.language in ("en", "es") and found.notices == ()


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

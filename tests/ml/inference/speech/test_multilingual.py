"""Whisper base, as the default bundle has it, on a synthetic voice in several languages."""

import numpy as np
import pytest
import torch

from ml.inference.speech.transcriber import Transcriber, Transcription
from ml.inference.voice.vad import speech_segments
from tests.speech_files import Sound, ignore, melody, noise, say, silence

pytestmark = pytest.mark.slow

GERMAN = "Der Zug an die Küste kam heute Morgen wieder zu spät. Ich habe auf dem Bahnsteig gewartet."
ENGLISH = "Nobody told us that the museum is closed on Mondays. My grandmother has a garden full of roses."


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Transcriber:
    loaded = Transcriber.load("base", tmp_path_factory.mktemp("empty"), torch.device("cpu"))
    assert loaded is not None
    return loaded


def transcribe(transcriber: Transcriber, sound: Sound, language: str | None = None) -> Transcription:
    return transcriber.transcribe(sound, speech_segments(sound, ignore), language, ignore, ignore)


def test_transcribe_a_recording_in_two_languages(multilingual: Transcriber) -> None:
    german = say(GERMAN, "de")
    found = transcribe(multilingual, np.concatenate([german, silence(0.5), say(ENGLISH)]))
    change = len(german) / 16000 + 0.25
    assert {segment.language for segment in found.segments if segment.end < change} == {"de"}
    assert {segment.language for segment in found.segments if segment.start > change} == {"en"}
    assert {"Zug", "Küste", "museum", "roses."} <= {word.word for each in found.segments for word in each.words}
    assert found.language in ("de", "en") and found.notices == ()


def test_transcribe_a_stated_language(multilingual: Transcriber) -> None:
    assert {"jv", "en", "am"} <= set(multilingual._recognizer.languages)
    found = transcribe(multilingual, say(GERMAN, "de"), "de")
    assert (found.language, {segment.language for segment in found.segments}) == ("de", {"de"})


def test_transcribe_invents_nothing(multilingual: Transcriber) -> None:
    for sound in (noise(6), melody(6)):
        assert multilingual.transcribe(sound, [], None, ignore, ignore).segments == ()
        spans = speech_segments(np.concatenate([say("Hello there."), silence(1)]), ignore)
        assert multilingual.transcribe(sound, spans, None, ignore, ignore).segments == ()

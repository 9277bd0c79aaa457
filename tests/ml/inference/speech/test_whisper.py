import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.speech.whisper import Whisper
from ml.inference.voice.vad import as_float
from ml.media import SAMPLE_RATE
from tests.speech_files import noise, say, silence

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    loaded = Whisper.load("tiny.en", tmp_path_factory.mktemp("empty"), CPU)
    assert loaded is not None
    return loaded


def test_whisper_load_refuses_invalid_weights(tmp_path: Path) -> None:
    folder, record = tmp_path / "whisper" / "small", {"model.bin": hashlib.sha256(b"weights").hexdigest()}
    folder.mkdir(parents=True)
    for name, content in {"model.bin": "weights", "whisper.json": json.dumps({"files": record})}.items():
        (folder / name).write_text(content)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    with pytest.raises(ModelStoreError, match="cannot be loaded"):
        Whisper.load("small", tmp_path, CPU)


def test_whisper_load_and_recognize_open_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded = Whisper.load("tiny.en", tmp_path, CPU, threads=1)
    assert loaded is not None
    assert len(loaded.recognize([as_float(noise(1))], "en")) == 1


def test_whisper_tiny_en_supports_english_only(whisper: Whisper) -> None:
    assert whisper.languages == ("en",)


def test_whisper_recognize_nothing_is_empty(whisper: Whisper) -> None:
    assert whisper.recognize([], "en") == []


def words_of(sounds: list[NDArray[np.int16]], whisper: Whisper) -> list[list[str]]:
    heard = whisper.recognize([as_float(sound) for sound in sounds], "en")
    return [[word.text.strip(" .,!?").lower() for word in one.words] for one in heard]


def test_whisper_recognize_gives_each_sound_its_words(whisper: Whisper) -> None:
    train, museum = say("The train was late again this morning."), say("The museum is closed on Mondays.")
    first, second = words_of([train, museum], whisper)
    assert {"train", "late", "morning"} <= set(first)
    assert {"museum", "closed", "mondays"} <= set(second)
    assert words_of([museum, train, museum], whisper) == [second, first, second]
    assert words_of([train], whisper) == [first]


def test_whisper_recognize_word_times_are_those_of_the_sound(whisper: Whisper) -> None:
    museum = say("The museum is closed on Mondays.")
    sound = as_float(np.concatenate([silence(3), museum]))
    for heard in whisper.recognize([sound, sound], "en"):
        starts = [word.start for word in heard.words]
        assert starts == sorted(starts)
        assert heard.words[-1].end <= len(sound) / SAMPLE_RATE + 0.1
        closed = next(word for word in heard.words if "closed" in word.text)
        assert 3.5 < closed.start < closed.end < 5.5


def test_whisper_recognize_doubts_words_over_noise(whisper: Whisper) -> None:
    clear, invented = whisper.recognize([as_float(say("The museum is closed on Mondays.")), as_float(noise(5))], "en")
    assert clear.log_probability > -0.7 > invented.log_probability
    assert clear.no_speech < 0.5 < invented.no_speech

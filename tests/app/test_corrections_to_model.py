"""From a correction to a served model, in one go: rate over HTTP, import the ratings, train, publish, serve."""

import json
from pathlib import Path

import pytest

from ml.__main__ import main
from ml.inference.pipeline.analyzer import Analyzer
from ml.registry import Bundle, ModelStore
from ml.vocabulary import EMOTIONS
from tests.app.conftest import Gateway
from tests.ml.reports.made_results import media, result, window
from tests.ml.training.generated_sets import make_voices

SECONDS = 0.75

pytestmark = pytest.mark.slow


def corrected(gateway: Gateway, sound: Path, folder: Path) -> None:
    """Have one recording read wrongly, corrected by two raters over HTTP, and saved with its ratings."""
    emotion = EMOTIONS[int(sound.stem.rpartition("_")[2])]
    gateway.post(sound.read_bytes(), sound.name)
    wrong = result([window(0, SECONDS, "disgust")], media=media("audio", SECONDS))
    job = f"/v1/jobs/{gateway.succeed(wrong.model_dump_json().encode())}"
    for rater in ("Ann", "Ben"):
        rating = {"target": "window", "start": 0, "end": SECONDS, "emotion": emotion}
        gateway.client.post(f"{job}/ratings", json={"rater": rater, "ratings": [rating]}).raise_for_status()
    for part in ("result", "ratings"):
        (folder / f"{sound.stem}.{part}.json").write_bytes(gateway.client.get(f"{job}/{part}").content)


def test_corrections_become_a_served_model(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_voices(tmp_path / "voices", (6, 2, 2))
    sounds = sorted(folder.glob("*.wav"))
    for sound in sounds:
        corrected(gateway, sound, folder)
    store = ModelStore(tmp_path / "store")
    store.write_bundle(Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None))
    small = ["--data", "mine.csv", "--architecture", "audio_cnn", "--store", "store", "--out", "run"]
    for command in (
        ["datasets", "import", "ratings", str(folder), "--out", "mine.csv"],
        ["train", "audio", *small, "--precision", "fp32", "--epochs", "2", "--batch", "28"],
        ["publish", "audio", *small, "--precision", "fp32", "--name", "mine", "--bundle", "mine"],
    ):
        assert main(command) == 0
    assert f"{len(sounds)} examples listed" in capsys.readouterr().out
    served = Analyzer.load(tmp_path / "store", "mine").analyze(sounds[0])
    assert served.models.audio == "mine@1"
    assert json.loads(served.model_dump_json())["windows"]

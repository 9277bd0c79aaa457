"""The offline side as a researcher uses it: the commands of the README, on made data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.__main__ import main
from ml.inference.face.detector import FaceDetector
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.pipeline.analyzer import Analyzer
from ml.paths import MODEL_STORE
from ml.registry import Bundle, ModelStore
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import write_examples
from ml.training.loop import history
from ml.training.recipes.audio import recipe
from ml.vocabulary import EMOTIONS
from tests.face_files import make_scenes, portrait
from tests.ml.training.generated_sets import make_faces, make_voices
from tests.toy_models import with_model


def run(*words: str | Path) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    ModelStore(root).write_bundle(Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None))
    return root


def test_commands_turn_faces_into_a_served_model(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("datasets", "import", "generic", make_faces(tmp_path / "faces"), "--out", "mine.csv")
    small = ("--data", "mine.csv", "--crops", "--widths", "16", "16", "16", "24", "--batch", "28", "--strength", "0.1")
    small += ("--store", str(store), "--out", "run")
    run(
        "preprocess",
        "--manifest",
        "mine.csv",
        "--crops",
        "--out",
        ".cache/prepared",
        "--workers",
        1,
    )
    run("train", "face", *small, "--epochs", "6", "--learning-rate", "0.01")
    run("calibrate", "face", *small)
    run("publish", "face", *small, "--name", "bars", "--bundle", "mine", "--licence", "CC0-1.0", "--commercial")
    assert "bars@1" in capsys.readouterr().out
    manifest = ModelStore(store).manifest("bars@1")
    assert manifest.licence.commercial and manifest.data == ("made: 112 examples",)
    assert {name: part["n"] for name, part in manifest.metrics.items()} == {"made, test": 28, "made, valid": 28}
    measured = ("--manifest", "mine.csv", "--crops", "--split", "test", "--bundle", "mine", "--store", store)
    run("evaluate", "face", *measured, "--json", "-")
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"] > 0.6 and figures["n"] == 28, "the bars are easily told apart"
    picture = tmp_path / "someone.png"
    cv2.imwrite(str(picture), cv2.cvtColor(portrait(), cv2.COLOR_RGB2BGR))
    result = Analyzer.load(store, "mine").analyze(picture)
    assert result.models.face == "bars@1" and result.overall.emotion


def test_commands_turn_recordings_into_a_face_model_and_a_fusion(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = []
    for number in range(10):
        label, picture = ("happy", portrait()) if number % 2 else ("sad", portrait()[:, ::-1])
        angle = number * 2 * np.pi / 10
        y, x = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
        light = 0.6 + 0.4 * (np.cos(angle) * x + np.sin(angle) * y)
        lit = (picture * light[..., None]).clip(0, 255).astype(np.uint8)
        path = make_scenes(tmp_path / f"{number}.mp4", [(lit, 0.5)])
        examples.append(Example(label, "mine", "train" if number < 8 else "valid", path=path))
    write_examples(tmp_path / "mine.csv", examples)
    words = ("--data", "mine.csv", "--store", str(store), "--epochs", "2", "--batch", "4")
    face = ("face", *words, "--widths", "16", "16", "16", "24", "--out", "face")
    run("train", *face, "--landmarks", "on")
    run("publish", *face, "--bundle", "mine")
    assert "--landmarks on" in ModelStore(store).manifest("face@1").command
    predictor = FacePredictor.load(ModelStore(store), "face@1", torch.device("cpu"))
    with FaceDetector(predictor.crop_size) as detector:
        (found,) = detector.detect(portrait(), 1)
    samples = FaceSample(found.crop, found.landmarks), FaceSample(found.crop, None), FaceSample(found.crop)
    seen, unseen, none = (predictor.predict([sample]) for sample in samples)
    assert np.abs(seen.log_probabilities_NC - unseen.log_probabilities_NC).max() > 1e-4
    assert np.array_equal(unseen.log_probabilities_NC, none.log_probabilities_NC)
    result = Analyzer.load(store, "mine").analyze(tmp_path / "0.mp4")
    told = result.faces[0].frames[0].probabilities
    assert [told[name] for name in EMOTIONS] != pytest.approx(np.exp(unseen.log_probabilities_NC[0]), abs=1e-4)

    for name in ("audio-light", "text"):
        shutil.copytree(MODEL_STORE / name, store / name)
    references = [f"{name}@{max(int(v.name) for v in (store / name).iterdir())}" for name in ("audio-light", "text")]
    fusion = ("fusion", *words, "--models", "face@1", *references, "--bundle", "joined", "--out", "fusion")
    run("train", *fusion)
    run("publish", *fusion)
    assert ModelStore(store).bundle("joined").fusion == "fusion@1"
    card = (store / "fusion" / "1" / "card.md").read_text()
    assert "composed" not in card and "also chose and calibrated it" in card
    assert Analyzer.load(store, "joined").analyze(tmp_path / "9.mp4").models.fusion == "fusion@1"


def test_commands_turn_voices_into_a_published_model(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("datasets", "import", "generic", make_voices(tmp_path / "voices", (4, 1, 1)), "--out", "mine.csv")
    small = (
        "--data",
        "mine.csv",
        "--architecture",
        "audio_cnn",
        "--store",
        str(store),
        "--out",
        "run",
        "--precision",
        "fp32",
    )
    run("train", "audio", *small, "--epochs", "2", "--batch", "28")
    run("publish", "audio", *small, "--name", "tones", "--bundle", "mine")
    manifest = ModelStore(store).manifest("tones@1")
    assert sum(part["n"] for part in manifest.metrics.values()) == 14 and not manifest.licence.commercial
    assert ModelStore(store).bundle("mine").audio == "tones@1"


def test_rollback_restores_the_bundle(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ModelStore(store)
    models.write_bundle(with_model(models.bundle("default"), "face", "face@2"))
    run("rollback", "default", "--store", store)
    assert models.bundle("default").face is None
    assert main(["rollback", "default", "--store", str(store)]) == 1
    assert "nothing is kept" in capsys.readouterr().err


def test_train_killed_run_ends_like_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("datasets", "import", "generic", make_faces(tmp_path / "faces"), "--out", "mine.csv")
    words = ["train", "face", "--data", "mine.csv", "--crops", "--widths", "16", "16", "16", "24", "--batch", "28"]
    words += ["--epochs", "4", "--precision", "fp32"]
    run(*words, "--out", "whole")
    command = [sys.executable, "-m", "ml", *words, "--out", "killed"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment()) as running:
        assert running.stderr is not None
        told = b""
        while b"epoch 2: {" not in told:
            told += running.stderr.read1() or pytest.fail(told.decode())
        running.kill()
    assert len(history(tmp_path / "killed")) in (2, 3)
    run(*words, "--out", "killed")
    figures = [[{**epoch, "seconds": 0} for epoch in history(tmp_path / name)] for name in ("whole", "killed")]
    assert figures[0] == figures[1]


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def test_tune_command_resumes_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("datasets", "import", "generic", make_voices(tmp_path / "voices", (4, 1, 0)), "--out", "mine.csv")
    words = ["tune", "audio", "--data", "mine.csv", "--epochs", "1", "--study", "study", "--precision", "fp32"]
    monkeypatch.setattr(recipe, "space", small_space)
    run(*words, "--trials", "1")
    run(*words, "--trials", "3")
    assert "3 trials" in capsys.readouterr().out
    table = (tmp_path / "study" / "trials.csv").read_text().splitlines()
    assert len(table) == 4 and table[0] == "trial,state,chosen by,batch,learning_rate"
    best = json.loads((tmp_path / "study" / "best.json").read_text())
    assert "python -m ml train audio --data mine.csv --architecture audio_cnn" in best["command"]
    assert {path.name for path in (tmp_path / "study").glob("*.png")} == {"history.png", "parameters.png"}
    assert cv2.imread(str(tmp_path / "study" / "parameters.png")).std() > 1


def small_space(trial: object, args: object) -> dict[str, object]:
    suggest = trial  # an Optuna trial
    return {
        "architecture": "audio_cnn",
        "batch_size": suggest.suggest_categorical("batch", [14, 28]),  # type: ignore[attr-defined]
        "learning_rate": suggest.suggest_float("learning_rate", 1e-4, 1e-2, log=True),  # type: ignore[attr-defined]
    }


def test_train_too_little_data_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("datasets", "import", "generic", make_faces(tmp_path / "faces", (2, 1, 0)), "--out", "mine.csv")
    assert main(["train", "face", "--data", "mine.csv", "--crops"]) == 1
    assert main(["publish", "face", "--data", "mine.csv", "--crops", "--out", "nowhere"]) == 1
    assert main(["train", "face", "--data", "mine.csv", "--crops", "--widths", "8", "16", "16", "24"]) == 1
    told = capsys.readouterr().err
    assert "--widths below 16" in told and "less than a batch of 128" in told and "train first" in told

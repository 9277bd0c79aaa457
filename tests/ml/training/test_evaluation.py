import csv
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.__main__ import main
from ml.artifacts import ModelStore
from ml.errors import InvalidManifest
from ml.inference.face import FacePredictor
from ml.training.evaluation import Subjects, evaluate, read_rows, readable
from ml.vocabulary import EMOTIONS
from tests.face_files import nobody, portrait
from tests.toy_models import make_store


def write(path: Path, header: Sequence[str], *rows: Sequence[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def subjects(tmp_path: Path) -> Subjects:
    return Subjects(make_store(tmp_path / "store"), "default")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A manifest of five noise crops and one that cannot be read."""
    random = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 255, (60, 60), dtype=np.uint8))
    (tmp_path / "bad.png").write_text("no picture")
    rows = [(f"{number}.png", EMOTIONS[number]) for number in range(5)]
    return write(tmp_path / "crops.csv", ("path", "label", "speaker"), *rows, ("bad.png", "sad"))


def test_crops_are_measured_as_the_predictor_reads_them(subjects: Subjects, crops: Path) -> None:
    metrics = evaluate("face", crops, subjects, crops=True)
    predictor = FacePredictor.load(ModelStore(subjects.store), "face@1", torch.device("cpu"))
    images = [cv2.imread(str(crops.parent / f"{number}.png"), cv2.IMREAD_GRAYSCALE) for number in range(5)]
    found = predictor.predict([np.asarray(image, np.uint8) for image in images]).log_probabilities_NC.argmax(1)
    assert metrics.n == 5 and metrics.skipped == 1
    assert metrics.accuracy == pytest.approx(float((found == np.arange(5)).mean()))


def test_pictures_go_through_the_whole_service(subjects: Subjects, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hopper.png"), portrait()[..., ::-1])
    cv2.imwrite(str(tmp_path / "wall.png"), nobody())
    manifest = write(
        tmp_path / "faces.csv", ("path", "label"), ("hopper.png", "happy"), ("wall.png", "sad"), ("none.png", "sad")
    )
    metrics = evaluate("face", manifest, subjects)
    assert (metrics.n, metrics.skipped) == (1, 2)
    assert sum(metrics.confusion[EMOTIONS.index("happy")]) == 1
    assert evaluate("fusion", manifest, subjects).confusion == metrics.confusion


def test_the_command_prints_the_agreed_json(
    subjects: Subjects, crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "face", "--crops", "--manifest", str(crops), "--store", str(subjects.store)]
    assert main([*arguments, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    keys = {"n", "accuracy", "macro_f1", "uar", "ece", "intervals", "labels", "confusion", "skipped"}
    assert document.keys() == keys
    assert document["labels"] == list(EMOTIONS) and np.sum(document["confusion"]) == document["n"] == 5
    assert main(arguments) == 0
    assert f"accuracy  {document['accuracy']:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path,label\na.png,joyful\n", "line 2: the label 'joyful'"),
        ("path,label\n,happy\n", "line 2: no path"),
        ("file,label\na.png,happy\n", "needs the columns path and label"),
        ("", "needs the columns"),
        ("path,label\na\x00.png", "cannot be read|label None|label ''"),
    ],
)
def test_a_manifest_that_is_wrong_is_told(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(InvalidManifest, match=told):
        read_rows(tmp_path / "bad.csv", "path")


def test_an_absent_manifest_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "text", "--manifest", str(tmp_path / "none.csv"), "--store", str(tmp_path)]) == 1
    assert "none.csv cannot be read" in capsys.readouterr().err


def test_a_bundle_without_the_model_is_told(
    subjects: Subjects, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write(tmp_path / "words.csv", ("text", "label"), ("I am glad", "happy"))
    assert main(["evaluate", "text", "--manifest", str(manifest), "--store", str(subjects.store)]) == 1
    assert "names no text model" in capsys.readouterr().err


def test_nothing_that_can_be_read_is_told(subjects: Subjects, tmp_path: Path) -> None:
    manifest = write(tmp_path / "faces.csv", ("path", "label"), ("none.png", "sad"))
    with pytest.raises(InvalidManifest, match="nothing"):
        evaluate("face", manifest, subjects)


def test_people_read_a_table(subjects: Subjects, crops: Path) -> None:
    lines = readable(evaluate("face", crops, subjects, crops=True)).splitlines()
    assert lines[0] == "n 5, skipped 1"
    assert [line.split()[0] for line in lines[-7:]] == list(EMOTIONS)

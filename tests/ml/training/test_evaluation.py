import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.__main__ import main
from ml.artifacts import Bundle, Manifest, ModelStore
from ml.errors import InvalidManifest
from ml.inference.face import FacePredictor
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.evaluation import Subjects, evaluate, read_rows, readable
from ml.training.folds import fold_arguments
from ml.vocabulary import EMOTIONS
from tests.face_files import nobody, portrait
from tests.ml.training.made_sets import make_voices
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
    metrics = evaluate("face", crops, subjects, crops=True).whole
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
    metrics = evaluate("face", manifest, subjects).whole
    assert (metrics.n, metrics.skipped) == (1, 2)
    assert sum(metrics.confusion[EMOTIONS.index("happy")]) == 1
    assert evaluate("fusion", manifest, subjects).whole.confusion == metrics.confusion


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


def test_corpora_and_genders_are_told_apart(subjects: Subjects, tmp_path: Path) -> None:
    told = [("happy", "a", "female"), ("sad", "a", "male"), ("neutral", "b", "")]
    random = np.random.default_rng(0)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 255, (60, 60), dtype=np.uint8))
    rows = [(f"{number}.png", *row) for number, row in enumerate(told)]
    manifest = write(tmp_path / "list.csv", ("path", "label", "source", "gender"), *rows)
    report = evaluate("face", manifest, subjects, crops=True)
    assert {name: part.n for name, part in report.corpora.items()} == {"a": 2, "b": 1}
    assert {name: part.n for name, part in report.genders.items()} == {"female": 1, "male": 1}
    assert set(report.json()) >= {"n", "corpora", "genders"}
    assert "female" in readable(report)


def test_a_modality_is_taken_away_from_the_whole(subjects: Subjects, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hopper.png"), portrait()[..., ::-1])
    manifest = write(tmp_path / "faces.csv", ("path", "label"), ("hopper.png", "happy"))
    report = evaluate("fusion", manifest, subjects, ablate=True)
    assert set(report.without) == {"audio", "text"}, "without the face nothing of a picture is left"


def test_pictures_of_the_figures_are_drawn(
    subjects: Subjects, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "face", "--crops", "--manifest", str(crops), "--store", str(subjects.store)]
    assert main([*words, "--plots", str(tmp_path / "plots")]) == 0
    for name in ("confusion", "reliability"):
        assert cv2.imread(str(tmp_path / "plots" / f"{name}.png")).std() > 1


def test_folds_begin_with_no_net_that_may_know_their_speakers(tmp_path: Path) -> None:
    command = "python -m ml train audio --architecture audio_cnn --start audio-cnn@1 --taught-by ENCODER --epochs 3"
    published = Manifest.model_construct(command=command)
    args = fold_arguments("audio", published, tmp_path, 2, 5, tmp_path / "fold-2", [])
    assert (args.architecture, args.epochs, args.fold) == ("audio_cnn", 3, 2)
    assert args.start is None and args.taught_by is None


def test_folds_measure_speakers_that_were_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    ModelStore(store).write_bundle(Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None))
    make_voices(tmp_path / "voices", (4, 0, 0))
    paths = sorted((tmp_path / "voices").glob("*.wav"))
    examples = [
        Example(EMOTIONS[int(p.stem[-1])], "tones", "train", path=p, speaker=f"s{n % 4}") for n, p in enumerate(paths)
    ]
    write_examples(
        tmp_path / "list.csv", [replace(e, split="valid" if e.speaker == "s0" else "train") for e in examples]
    )
    small = [
        "--data",
        "list.csv",
        "--architecture",
        "audio_cnn",
        "--epochs",
        "1",
        "--batch",
        "7",
        "--precision",
        "fp32",
        "--store",
        str(store),
    ]
    assert main(["train", "audio", *small]) == 0
    assert main(["publish", "audio", *small, "--bundle", "default"]) == 0
    words = ["evaluate", "audio", "--folds", "2", "--manifest", "list.csv", "--store", str(store), "--out", "folds"]
    words += ["--set", "precision=fp32"]
    capsys.readouterr()
    assert main([*words, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["n"] == len(paths) and 0 <= document["ece"] <= 1
    lists = [list(read_examples(tmp_path / "folds" / f"fold-{fold}" / "list.csv")) for fold in range(2)]
    heard = [{e.speaker for e in rows if e.split == "train"} for rows in lists]
    assert heard == [{"s1", "s3"}, {"s0", "s2"}]
    assert main([*words, "--json", "-"]) == 0, "finished runs are not made again"
    assert json.loads(capsys.readouterr().out) == document

    assert main(["publish", "audio", *small, "--folds", "folds/folds.json"]) == 0
    manifest, told = ModelStore(store).manifest("audio-cnn@2"), json.loads(Path("folds/folds.json").read_text())
    assert manifest.temperature == told["temperature"]
    assert manifest.metrics["all, out of fold"]["uar"] == document["uar"]
    assert main(["publish", "audio", *small, "--folds", "list.csv"]) == 1

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.__main__ import main
from ml.errors import InvalidManifest
from ml.inference.api import EmotionOutputs, TimeSpan
from ml.inference.face.predictor import FacePredictor, FaceSample
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import batch_segments, predict_segments, segments_by_window, voices_by_window
from ml.networks.crops import resize_crop
from ml.paths import MODEL_STORE
from ml.registry import Bundle, Manifest, ModelStore
from ml.results import Options, Reading
from ml.training.cross_validation import fold_config
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.evaluation import BundleReaders, evaluate
from ml.training.labelled_rows import LabelledRow, read_rows
from ml.training.recipes.audio.config import AudioTrainConfig
from ml.training.report_text import readable
from ml.vocabulary import EMOTIONS, MODALITIES, Modality
from tests.face_files import make_scenes, nobody, portrait
from tests.ml.training.generated_sets import make_voices
from tests.speech_files import ignore, make_sound, noise
from tests.toy_models import leaning, make_store, with_model


def write(path: Path, header: Sequence[str], *rows: Sequence[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def subjects(tmp_path: Path) -> BundleReaders:
    return BundleReaders(make_store(tmp_path / "store"), "default")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A manifest of five noise crops and one that cannot be read."""
    random = np.random.default_rng(0)
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), random.integers(0, 255, (60, 60), dtype=np.uint8))
    (tmp_path / "bad.png").write_text("no picture")
    rows = [(f"{number}.png", EMOTIONS[number]) for number in range(5)]
    return write(tmp_path / "crops.csv", ("path", "label", "speaker"), *rows, ("bad.png", "sad"))


def test_evaluate_crops_equals_the_predictor(subjects: BundleReaders, crops: Path) -> None:
    metrics = evaluate("face", crops, subjects, crops=True).whole
    predictor = FacePredictor.load(ModelStore(subjects.store), "face@1", torch.device("cpu"))
    images = [cv2.imread(str(crops.parent / f"{number}.png"), cv2.IMREAD_GRAYSCALE) for number in range(5)]
    crops_seen = [resize_crop(np.asarray(image, np.uint8), predictor.crop_size) for image in images]
    found = predictor.predict([FaceSample(crop) for crop in crops_seen]).log_probabilities_NC.argmax(1)
    assert metrics.n == 5 and metrics.skipped == 1
    assert metrics.accuracy == pytest.approx(float((found == np.arange(5)).mean()))


def test_evaluate_face_pictures_pass_the_whole_service(subjects: BundleReaders, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hopper.png"), portrait()[..., ::-1])
    cv2.imwrite(str(tmp_path / "wall.png"), nobody())
    manifest = write(
        tmp_path / "faces.csv", ("path", "label"), ("hopper.png", "happy"), ("wall.png", "sad"), ("none.png", "sad")
    )
    metrics = evaluate("face", manifest, subjects).whole
    assert (metrics.n, metrics.skipped) == (1, 2)
    assert sum(metrics.confusion[EMOTIONS.index("happy")]) == 1
    assert evaluate("fusion", manifest, subjects).whole.confusion == metrics.confusion


def test_evaluate_command_prints_the_agreed_json(
    subjects: BundleReaders, crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "face", "--crops", "--manifest", str(crops), "--store", str(subjects.store)]
    assert main([*arguments, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    figures = {"accuracy", "macro_f1", "weighted_f1", "uar", "ece"}
    assert document.keys() == figures | {"n", "intervals", "labels", "confusion", "skipped"}
    assert document["intervals"].keys() == figures
    assert document["labels"] == list(EMOTIONS) and np.sum(document["confusion"]) == document["n"] == 5
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"accuracy    {document['accuracy']:.4f}" in printed
    assert f"weighted_f1 {document['weighted_f1']:.4f}   95 % {document['intervals']['weighted_f1'][0]:.4f}" in printed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path,label\na.png,joyful\n", "line 2: the label 'joyful'"),
        ("path,label\n,happy\n", "line 2: no path"),
        ("file,label\na.png,happy\n", "needs the columns path and label"),
        ("", "needs the columns"),
        ("path,label\na\x00.png", "cannot be read|label None|label ''"),
        ("path,label,start,end\na.mp4,happy,2,1\n", "line 2: there is nothing from 2 to 1.0 seconds"),
        ("path,label,start,end\na.mp4,happy,soon,1\n", "line 2: could not convert"),
    ],
)
def test_read_rows_wrong_manifest_is_named(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(InvalidManifest, match=told):
        read_rows(tmp_path / "bad.csv", "path")


def test_evaluate_absent_manifest_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "text", "--manifest", str(tmp_path / "none.csv"), "--store", str(tmp_path)]) == 1
    assert "none.csv cannot be read" in capsys.readouterr().err


def test_evaluate_bundle_without_the_model_is_refused(
    subjects: BundleReaders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write(tmp_path / "words.csv", ("text", "label"), ("I am glad", "happy"))
    assert main(["evaluate", "text", "--manifest", str(manifest), "--store", str(subjects.store)]) == 1
    assert "names no text model" in capsys.readouterr().err


def test_evaluate_nothing_readable_is_refused(subjects: BundleReaders, tmp_path: Path) -> None:
    manifest = write(tmp_path / "faces.csv", ("path", "label"), ("none.png", "sad"))
    with pytest.raises(InvalidManifest, match="nothing"):
        evaluate("face", manifest, subjects)


def test_readable_report_is_a_table(subjects: BundleReaders, crops: Path) -> None:
    lines = readable(evaluate("face", crops, subjects, crops=True)).splitlines()
    assert lines[0] == "n 5, skipped 1"
    assert [line.split()[0] for line in lines[-7:]] == list(EMOTIONS)


def test_evaluate_reports_corpora_and_genders(subjects: BundleReaders, tmp_path: Path) -> None:
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
    (line,) = [line for line in readable(report).splitlines() if "female" in line]
    female = report.genders["female"]
    for name in ("uar", "ece"):
        low, high = female.intervals[name]
        assert f"{getattr(female, name):.3f} [{low:.3f}–{high:.3f}]" in line


def test_evaluate_split_selects_rows(subjects: BundleReaders, crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"{number}.png", EMOTIONS[number], split) for number, split in enumerate(("train", "valid", "test"))]
    manifest = write(crops.parent / "split.csv", ("path", "label", "split"), *rows, ("3.png", "sad", "valid"))
    whole = evaluate("face", manifest, subjects, crops=True)
    assert whole.whole.n == 4 and whole.splits == {"train": 1, "valid": 2, "test": 1}
    some = evaluate("face", manifest, subjects, crops=True, splits=["valid", "test"])
    assert some.whole.n == 3 and some.json()["splits"] == {"valid": 2, "test": 1}
    assert readable(some).splitlines()[0] == "n 3, skipped 0, valid 2, test 1"
    with pytest.raises(InvalidManifest, match="has the split test"):
        evaluate("face", crops, subjects, crops=True, splits=["test"])
    words = ["evaluate", "face", "--crops", "--manifest", str(manifest), "--store", str(subjects.store)]
    assert main([*words, "--split", "valid", "test"]) == 0
    assert capsys.readouterr().out.startswith("n 3, skipped 0, valid 2, test 1\n")


def test_evaluate_text_language_has_figures_of_its_own(tmp_path: Path) -> None:
    manifest = write(
        tmp_path / "words.csv",
        ("text", "label", "language"),
        ("I am so glad", "happy", "eng"),
        ("How sad", "sad", "en-GB"),
        ("nuqneH", "happy", "tlh"),
    )
    report = evaluate("text", manifest, BundleReaders(MODEL_STORE, "default", "cpu"))
    assert set(report.languages) == {"en"} and report.languages["en"].n == 2
    assert report.whole.skipped == 1, "no model reads Klingon"
    assert report.json()["mean_of_languages"]["accuracy"] == report.languages["en"].accuracy
    assert "mean of them" in readable(report)


def test_evaluate_text_skips_sentences_without_one_label(tmp_path: Path) -> None:
    target = "0 0 0 0.5 0.5 0 0"
    manifest = write(
        tmp_path / "words.csv",
        ("text", "label", "target", "sentiment"),
        ("I am so glad", "happy", "0 0 0 1 0 0 0", ""),
        ("How terrible", "sad", "", "negative"),
        ("Glad and sad", "happy", target, ""),
        ("Good acting", "", "", "positive"),
    )
    metrics = evaluate("text", manifest, BundleReaders(MODEL_STORE, "default", "cpu")).whole
    assert (metrics.n, metrics.skipped) == (2, 2)
    with pytest.raises(InvalidManifest, match="line 2: the label ''"):
        read_rows(write(tmp_path / "none.csv", ("text", "label"), ("Good acting", "")), "text")


class Sure:
    """Tone of voice: a loud sound is surely angry, a soft one perhaps sad."""

    def predict(self, samples: Sequence[NDArray[np.float32]]) -> EmotionOutputs:
        loud, soft = np.full((2, len(EMOTIONS)), [[0.001], [0.1]], np.float32)
        loud[[EMOTIONS.index("angry"), EMOTIONS.index("sad")]] = 0.98, 0.015
        soft[[EMOTIONS.index("angry"), EMOTIONS.index("sad")]] = 0.001, 0.499
        logs = [np.log(loud if np.abs(sample).max() > 0.25 else soft) for sample in samples]
        return EmotionOutputs(np.zeros((len(logs), 1), np.float32), np.reshape(logs, (-1, len(EMOTIONS))))


@pytest.fixture
def hearing(subjects: BundleReaders, monkeypatch: pytest.MonkeyPatch) -> BundleReaders:
    """With a model of the tone of voice."""
    store = ModelStore(subjects.store)
    store.write_bundle(with_model(store.bundle("default"), "audio", "audio@1"))
    monkeypatch.setattr(VoicePredictor, "load", lambda store, reference, device: Sure())
    return subjects


def test_evaluate_audio_piece_is_read_alone(hearing: BundleReaders, tmp_path: Path) -> None:
    make_sound(tmp_path / "two.wav", np.concatenate([noise(1.0, 0.3), noise(1.0, 0.01), noise(1.0, 0.3)]))
    rows = [("two.wav", "angry", "", "1"), ("two.wav", "sad", "1.1", "1.9"), ("two.wav", "angry", "2", "")]
    manifest = write(tmp_path / "list.csv", ("path", "label", "start", "end"), *rows, ("two.wav", "sad", "8", "9"))
    metrics = evaluate("audio", manifest, hearing).whole
    assert (metrics.accuracy, metrics.n, metrics.skipped) == (1.0, 3, 1)


def test_evaluate_audio_long_voice_reads_as_served(hearing: BundleReaders, tmp_path: Path) -> None:
    """Of two pieces the mean of the probabilities counts: that of their logarithms would be sad."""
    sound = np.concatenate([noise(4.0, 0.3), noise(4.0, 0.01)])
    manifest = write(tmp_path / "list.csv", ("path", "label"), (make_sound(tmp_path / "a.wav", sound).name, "angry"))
    window = TimeSpan(0.0, 8.0)
    wanted = segments_by_window([window], [window])
    tones = predict_segments(Sure(), sound, batch_segments(wanted[window]), ignore, ignore).by_segment()
    (served,) = voices_by_window(tones, wanted, [window], [window])
    assert served.features
    (read,) = hearing.reader("audio")([LabelledRow(0, manifest.parent / "a.wav")])
    assert read == pytest.approx(np.exp(served.features.log_probabilities), abs=1e-6)
    assert evaluate("audio", manifest, hearing).whole.accuracy == 1.0


def test_evaluate_face_piece_is_read_alone(subjects: BundleReaders, tmp_path: Path) -> None:
    make_scenes(tmp_path / "film.mp4", [(nobody(), 1.0), (portrait(), 1.0)])
    make_scenes(tmp_path / "face.mp4", [(portrait(), 1.0)])
    pieces = [LabelledRow(0, tmp_path / "film.mp4", end=1.0), LabelledRow(0, tmp_path / "film.mp4", start=1.0)]
    unseen, seen, alone = subjects.reader("face")([*pieces, LabelledRow(0, tmp_path / "face.mp4")])
    assert unseen is None
    assert seen == pytest.approx(alone, abs=0.02)


def test_evaluate_fusion_refuses_pieces(subjects: BundleReaders, tmp_path: Path) -> None:
    manifest = write(tmp_path / "list.csv", ("path", "label", "start", "end"), ("film.mp4", "happy", "1", "2"))
    with pytest.raises(InvalidManifest, match="reads whole files"):
        evaluate("fusion", manifest, subjects)


def test_evaluate_ablate_removes_each_modality(subjects: BundleReaders, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hopper.png"), portrait()[..., ::-1])
    manifest = write(tmp_path / "faces.csv", ("path", "label"), ("hopper.png", "happy"))
    ablation = evaluate("fusion", manifest, subjects, ablate=True).ablation
    assert ablation
    assert set(ablation.without) == {"audio", "text"}, "without the face nothing of a picture is left"
    assert set(ablation.alone) == {"face"} and ablation.alone["face"] == ablation.whole


class Heard:
    """Reads what the name of a file says is in it; all of it is angry."""

    def analyze(self, path: Path, options: Options) -> SimpleNamespace:
        found = [name for name in path.stem.split("-") if options.wants(cast(Modality, name))]
        reading = Reading.from_probabilities(dict(zip(EMOTIONS, np.exp(leaning("angry")).tolist(), strict=True)))
        return SimpleNamespace(overall=reading if found else Reading.empty("full"))


def test_evaluate_ablate_compares_the_same_files(
    subjects: BundleReaders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Analyzer, "load", lambda *_, **__: Heard())
    names = ("face-audio-text.mp4", "face-audio.mp4", "audio.wav")
    for name in names:
        (tmp_path / name).touch()
    manifest = write(tmp_path / "list.csv", ("path", "label"), *((name, "angry") for name in names))
    report = evaluate("fusion", manifest, subjects, ablate=True)
    assert report.whole.n == 3 and report.ablation
    figures = {"all": report.ablation.whole, **report.ablation.without, **report.ablation.alone}
    assert [(found.n, found.skipped) for found in figures.values()] == [(1, 2)] * 4
    document = report.json()
    assert [set(document[part]) for part in ("together", "without", "alone")] == [{"all"}, {*MODALITIES}, {*MODALITIES}]

    manifest = write(tmp_path / "apart.csv", ("path", "label"), *((name, "angry") for name in names[1:]))
    ablation = evaluate("fusion", manifest, subjects, ablate=True).ablation
    assert ablation and set(ablation.alone) == {"face", "audio"}
    (tmp_path / "text.wav").touch()
    manifest = write(tmp_path / "none.csv", ("path", "label"), *((name, "angry") for name in ("audio.wav", "text.wav")))
    assert evaluate("fusion", manifest, subjects, ablate=True).ablation is None
    assert "no row could be read in every way" in capsys.readouterr().err


def test_evaluate_plots_are_written(
    subjects: BundleReaders, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "face", "--crops", "--manifest", str(crops), "--store", str(subjects.store)]
    assert main([*words, "--plots", str(tmp_path / "plots")]) == 0
    for name in ("confusion", "reliability"):
        assert cv2.imread(str(tmp_path / "plots" / f"{name}.png")).std() > 1


def test_fold_config_of_a_published_model_has_no_start(tmp_path: Path) -> None:
    command = "python -m ml train audio --architecture audio_cnn --start audio-cnn@1 --taught-by ENCODER --epochs 3"
    published = Manifest.model_construct(command=command)
    config = fold_config("audio", published, tmp_path, 2, 5, tmp_path / "fold-2", [])
    assert isinstance(config, AudioTrainConfig)
    assert (config.architecture, config.epochs, config.fold) == ("audio_cnn", 3, 2)
    assert config.start is None and config.teacher is None


def test_evaluate_folds_measures_held_out_speakers(
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

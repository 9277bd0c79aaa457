import fcntl
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml.__main__ import main
from ml.training import preprocess as preprocess_module
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import write_examples
from ml.training.preprocess import Preprocessing, parser, preprocess
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import prepared_faces
from tests.face_files import make_scenes, portrait
from tests.media_files import make_audio
from tests.speech_files import make_sound, say

STORE = Path("model_store")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("material")
    cv2.imwrite(str(root / "face.png"), cv2.cvtColor(portrait(), cv2.COLOR_RGB2BGR))
    make_scenes(root / "talk.mp4", [(portrait(), 2.0)])
    make_audio(root / "tone.wav", seconds=2.0)
    make_sound(root / "said.wav", say("I am so happy to see you."))
    (root / "broken.png").write_bytes(b"nothing")
    cv2.imwrite(str(root / "empty.png"), np.full((90, 90, 3), 128, np.uint8))
    names = ["face.png", "talk.mp4", "tone.wav", "said.wav", "broken.png", "empty.png", "gone.wav"]
    examples = [Example("happy", "mine", "train", path=root / name) for name in names]
    examples.append(Example("sad", "mine", "valid", path=root / "tone.wav", start=0.5, end=1.25))
    write_examples(root / "list.csv", examples)
    return root


def test_preprocess_prepares_files_as_in_serving(material: Path, tmp_path: Path) -> None:
    config = Preprocessing(crop_size=48, frame_rate=2.0, landmarks=True, whisper="tiny.en")
    cache = preprocess(material / "list.csv", tmp_path, config, STORE, bar=False)
    prepared = {f"{p.example.path.name if p.example.path else ''} {p.example.split}": p for p in cache}
    assert prepared["face.png train"].crops.shape == (1, 48, 48)
    assert prepared["face.png train"].landmarks.any()
    talk = prepared["talk.mp4 train"]
    assert talk.times.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert talk.landmarks.shape == (4, 468, 3)
    assert len(prepared["tone.wav train"].samples) == pytest.approx(2 * 16_000, abs=200)
    assert len(prepared["tone.wav valid"].samples) == pytest.approx(0.75 * 16_000, abs=200)
    assert "happy" in (prepared["said.wav train"].transcript or "").lower()
    assert sum(cache.skipped.values()) == 3 and len(prepared) == 5


def test_preprocess_makes_shards_again_after_a_change(material: Path, tmp_path: Path) -> None:
    def made(config: Preprocessing) -> set[Path]:
        preprocess(material / "list.csv", tmp_path, config, STORE, bar=False)
        return set(tmp_path.rglob("*.npz"))

    first = made(Preprocessing(crops=True))
    stamps = {path: path.stat().st_mtime_ns for path in first}
    assert made(Preprocessing(crops=True)) == first
    assert {path: path.stat().st_mtime_ns for path in first} == stamps
    assert len(made(Preprocessing(crops=True, crop_size=32))) == 2
    os.utime(material / "tone.wav")
    assert len(made(Preprocessing(crops=True))) == 3


def test_preprocess_reads_corrected_words_of_the_list(material: Path, tmp_path: Path) -> None:
    for words in ("I am sat.", "I am sad."):
        write_examples(tmp_path / "list.csv", [Example("sad", "m", "train", path=material / "tone.wav", text=words)])
        (told,) = preprocess(tmp_path / "list.csv", tmp_path / "cache", Preprocessing(), STORE, bar=False)
        assert told.transcript == words


def test_preprocess_command_makes_shards_that_training_reads(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path / "list.csv", [Example("happy", "mine", "train", path=material / "face.png")])
    args = parser().parse_args(["--manifest", "list.csv", "--workers", "1", "--store", str(STORE.resolve())])
    args.run(args)
    assert "of all processes together: at most" in capsys.readouterr().out
    made = set(tmp_path.rglob("*.npz"))
    config = FaceTrainConfig(data=tmp_path / "list.csv")
    assert len(prepared_faces(config, config.size, landmarks=False).crops) == 1
    assert made and set(tmp_path.rglob("*.npz")) == made


def test_preprocess_removes_partial_shards_unless_in_use(material: Path, tmp_path: Path) -> None:
    folder = tmp_path / Preprocessing().digest[:16]
    left = folder / ".shard-left"
    left.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        preprocess(material / "list.csv", tmp_path, Preprocessing(), STORE, bar=False)
        assert left.exists()
    preprocess(material / "list.csv", tmp_path, Preprocessing(), STORE, bar=False)
    assert not left.exists()


def test_preprocess_workers_make_the_same_shards(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess_module, "EXAMPLES_PER_SHARD", 2)
    config = Preprocessing(crops=True)
    alone = preprocess(material / "list.csv", tmp_path / "alone", config, STORE, bar=False)
    together = preprocess(material / "list.csv", tmp_path / "together", config, STORE, workers=2, bar=False)
    assert alone.shards == together.shards
    assert set(alone.peaks) == {os.getpid()} and os.getpid() not in together.peaks
    assert all(peak > 10_000_000 for peak in (*alone.peaks.values(), *together.peaks.values())), "bytes that it held"
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.crops, other.crops) and np.array_equal(one.samples, other.samples)


def finished_shards(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.json") if path.name != "config.json"}


def test_preprocess_killed_run_makes_the_missing_shards(
    material: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = [Example("sad", "m", "train", path=material / "tone.wav", start=n * 0.05) for n in range(18)]
    write_examples(tmp_path / "long.csv", examples)
    arguments = ["preprocess", "--manifest", str(tmp_path / "long.csv")]
    arguments += ["--out", str(tmp_path / "cache"), "--workers", "1"]
    code = "import sys; from ml import __main__; from ml.training import preprocess; preprocess.EXAMPLES_PER_SHARD = 6"
    command = [sys.executable, "-c", f"{code}; __main__.main(sys.argv[1:])", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        printed = b""
        while b"1/3" not in printed:  # the progress bar
            printed += running.stderr.read1() or pytest.fail("it ended before it was killed")
        running.kill()
    kept = finished_shards(tmp_path / "cache")
    assert 1 <= len(kept) < 3
    monkeypatch.setattr(preprocess_module, "EXAMPLES_PER_SHARD", 6)
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "18 examples" in output and "MB" in output
    assert kept.items() <= finished_shards(tmp_path / "cache").items()

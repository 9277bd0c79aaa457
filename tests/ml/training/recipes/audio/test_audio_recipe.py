import csv
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.inference.voice.predictor import VoicePredictor
from ml.registry import ModelStore
from ml.training import cli
from ml.training.datasets.example import Example
from ml.training.recipes.audio.augment import augment, mask_maps
from ml.training.recipes.audio.data import balance, collected_sounds, load_sounds
from ml.training.recipes.audio.recipe import DISTILL_WEIGHT, build_network, build_targets, resolve_start, start_weights
from ml.vocabulary import EMOTIONS


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Half a second of noise for each emotion, of six speakers."""
    random = np.random.default_rng(0)
    folder = tmp_path / "audio"
    folder.mkdir()
    columns = ["path", "label", "original_label", "dataset", "speaker", "gender", "language", "intensity", "text"]
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for number in range(6 * len(EMOTIONS)):
            name, label = f"{number}.wav", EMOTIONS[number % 7]
            with wave.open(str(folder / name), "wb") as sound:
                sound.setparams((1, 2, 16_000, 0, "NONE", ""))
                sound.writeframes(random.integers(-9_000, 9_000, 8_000, dtype=np.int16).tobytes())
            rows.writerow([name, label, label, "ravdess", f"{number // 7 + 1:02}", "", "en", "", ""])
    return folder


def _run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    monkeypatch.chdir(folder)
    verb, *others = arguments
    args = cli.parser(verb).parse_args(["audio", *others, "--data", str(folder / "audio"), "--out", "run"])
    args.run(args)


def test_audio_train_and_publish_gives_a_served_model(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.parent
    _run(monkeypatch, folder, "train", "--architecture", "audio_cnn", "--epochs", "1", "--batch", "8")
    _run(monkeypatch, folder, "publish", "--store", "store")
    store = ModelStore(folder / "store")
    manifest = store.manifest("audio-cnn@1")
    assert manifest.metrics["ravdess"]["n"] == 14, "actors 1 and 6 are those of fold 0"
    predictor = VoicePredictor.load(store, "audio-cnn@1", torch.device("cpu"))
    outputs = predictor.predict([np.zeros(16_000, np.float32)])
    assert np.exp(outputs.log_probabilities_NC).sum() == pytest.approx(1, abs=1e-5)


def test_build_targets_teacher_of_another_fold_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(monkeypatch, data.parent, "train", "--architecture", "audio_cnn", "--epochs", "1", "--batch", "8")
    sounds = collected_sounds(data, data.parent / ".cache", 0)
    labels = build_targets(sounds, None, 0)
    assert labels.argmax(1).equal(sounds.labels) and set(labels.unique().tolist()) == {0, 1}
    taught = build_targets(sounds, data.parent / "run", 0)
    assert taught.sum(1) == pytest.approx(torch.ones(len(taught)), abs=1e-5)
    assert (taught.gather(1, sounds.labels[:, None]) >= 1 - DISTILL_WEIGHT).all() and (taught < 1).all()
    with pytest.raises(InvalidManifest, match="held out here"):
        build_targets(sounds, data.parent / "run", 1)


def test_load_sounds_caches_unchanged_files(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "kept"
    examples = [Example("sad", "ravdess", "train", path=data / f"{number}.wav") for number in range(3)]
    part, every = load_sounds(examples[1:], cache), load_sounds(examples, cache)
    assert [len(part.waveforms), len(every.waveforms)] == [2, 3]
    assert np.array_equal(part.waveforms[0], every.waveforms[1])
    relative = [replace(example, path=example.path.relative_to(tmp_path)) for example in examples if example.path]
    load_sounds(relative, cache)
    assert len(list(cache.iterdir())) == 2, "the same files by other names"
    shutil.copyfile(data / "9.wav", data / "0.wav")
    assert not np.array_equal(load_sounds(examples, cache).waveforms[0], every.waveforms[0])


def test_audio_train_unreadable_data_is_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("train", "--architecture", "audio_cnn", "--epochs", "1", "--batch", "8")
    cv2.imwrite(str(data / "picture.png"), np.zeros((8, 8), np.uint8))
    for content in (b"nothing", (data / "picture.png").read_bytes()):
        (data / "5.wav").write_bytes(content)
        with pytest.raises(InvalidManifest, match=r"5\.wav (cannot be decoded|holds no sound)"):
            _run(monkeypatch, data.parent, *small)
    (data / "manifest.csv").write_text("path,label,dataset,speaker,gender,language\n")
    with pytest.raises(InvalidManifest, match="lists no voice"):
        _run(monkeypatch, data.parent, *small)
    (data / "manifest.csv").unlink()
    with pytest.raises(InvalidManifest, match=r"no manifest\.csv"):
        _run(monkeypatch, data.parent, *small)


@pytest.mark.slow
def test_start_weights_of_held_out_speakers_are_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("--architecture", "audio_cnn", "--epochs", "1", "--batch", "8", "--store", "store")
    _run(monkeypatch, data.parent, "train", *small)
    _run(monkeypatch, data.parent, "publish", *small)
    store = ModelStore(data.parent / "store")
    network, _ = build_network("audio_cnn")
    network.load_state_dict(start_weights("audio-cnn@1", store, 0))
    assert torch.equal(
        start_weights("run", store, 0)["head.classify.weight"].half().float(),
        store.weights("audio-cnn@1")["head.classify.weight"].float(),
    )
    kept = store.weights("audio-cnn@1")["head.classify.weight"].float()
    assert torch.equal(network.head.classify.weight, kept)
    with pytest.raises(InvalidManifest, match="held out here"):
        start_weights("audio-cnn@1", store, 1)
    with pytest.raises(InvalidManifest, match="held out here"):
        resolve_start("run", 1)
    (data.parent / "folds").mkdir()
    (data.parent / "run").rename(data.parent / "folds" / "fold-0")
    _run(monkeypatch, data.parent, "train", *small, "--start", "folds")
    _run(monkeypatch, data.parent, "publish", *small)
    first, then = store.manifest("audio-cnn@2").command.split("; then ")
    assert first == store.manifest("audio-cnn@1").command and "--start RUN" in then


def test_balance_weighs_rare_labels_more() -> None:
    examples = [Example("happy", "a", "train")] * 8 + [Example("sad", "a", "train")] * 2
    weights = balance(examples)
    assert weights.mean() == pytest.approx(1)
    assert weights[:8].sum() == pytest.approx(float(weights[8:].sum()))


def test_audio_augment_keeps_most_of_the_length() -> None:
    torch.manual_seed(0)
    lengths = [len(augment(torch.randn(48_000))) for _ in range(50)]
    assert min(lengths) >= 48_000 * 0.45 and max(lengths) <= 48_000 / 0.89


def test_mask_maps_hides_a_part_of_each_map() -> None:
    torch.manual_seed(0)
    maps = torch.randn(32, 80, 200)
    hidden = (mask_maps(maps) != maps).float().mean(dim=(1, 2))
    assert 0.05 < hidden.mean() < 0.4 and (mask_maps(maps)[:, 0, 0].isfinite()).all()

import csv
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.__main__ import main
from ml.errors import InvalidManifest
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import predict_utterances
from ml.networks.speech_mixture import Activations, SpeechMixture, SpeechMixtureConfig
from ml.registry import ModelStore
from ml.training import cli
from ml.training.recipes.audio import mixture, recipe
from ml.training.recipes.audio.activations import load_or_extract
from ml.training.recipes.audio.config import AudioTrainConfig, Encoder
from ml.training.recipes.audio.data import read_sides
from ml.training.recipes.audio.mixture import MixtureData, mask_time
from ml.training.recipes.audio.pretrained import TINY
from ml.training.recipes.audio.rerecording import rerecord
from ml.vocabulary import EMOTIONS

SMALL = SpeechMixtureConfig(
    hidden=16, lower=1, upper=1, heads=2, intermediate=32, read_layers=(0, 1), perceptron=8, tuned_embedding=8
)
CORPORA = ("ravdess", "tess")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Half a second of noise of each emotion, of five speakers of each of two corpora."""
    random, folder = np.random.default_rng(0), tmp_path / "audio"
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "dataset", "speaker", "gender", "language"])
        for number in range(10 * len(EMOTIONS)):
            place, label = divmod(number, len(EMOTIONS))
            _write_sound(folder / f"{number}.wav", random.integers(-9_000, 9_000, 8_000))
            rows.writerow([f"{number}.wav", EMOTIONS[label], CORPORA[place % 2], f"{place // 2}", "", "en"])
    return folder


def _write_sound(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(samples.astype(np.int16).tobytes())


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a narrow network whose trunk has random weights."""

    def build(encoder: Encoder, upper_blocks: int) -> SpeechMixture:
        torch.manual_seed(1)
        network = SpeechMixture(replace(SMALL, upper=upper_blocks))
        network.trunk.requires_grad_(False)
        return network

    monkeypatch.setattr(recipe, "build_mixture", build)


def _words(data: Path) -> list[str]:
    small = ["--epochs", "1", "--steps", "2", "--batch", "8", "--copies", "1", "--upper-blocks", "1"]
    return [*small, "--precision", "fp32", "--data", str(data)]


@pytest.mark.slow
def test_mixture_of_all_speakers_is_published_with_figures_of_folds(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)

    def run(verb: str, *words: str) -> None:
        args = cli.parser(verb).parse_args(["audio", *words, *_words(data), "--store", "store", "--out", "run"])
        args.run(args)

    run("train")
    run("publish")
    store = ModelStore(Path("store"))
    assert store.manifest("audio@1").preprocessing["held_out_fold"] == 0
    (data.parent / "store" / "bundles").mkdir()
    (data.parent / "store" / "bundles" / "default.json").write_text(
        '{"name": "default", "face": null, "audio": "audio@1", "text": null, "fusion": null}'
    )
    for kind in (["--folds", "5"], ["--leave-corpus-out", *CORPORA]):
        main(["evaluate", "audio", "--manifest", str(data), *kind, "--out", kind[0].strip("-"), "--store", "store"])
    trained = torch.load("run/checkpoint.pt", weights_only=True)
    for changed, weights in trained["model"].items():
        if changed.startswith("trunk."):
            assert torch.equal(weights, trained["average"][changed]), "the trunk keeps its weights"
    main(["train", "audio", "--all-speakers", *_words(data), "--out", "everyone"])
    figures = ["--folds", "folds/folds.json", "--corpora", "leave-corpus-out/corpora.json"]
    main(["publish", "audio", *_words(data), "--store", "store", "--out", "everyone", *figures])
    manifest = store.manifest("audio@2")
    assert {name: figures["n"] for name, figures in manifest.metrics.items() if "all" not in name} == {
        f"{corpus}, {origin}": 35 for corpus in CORPORA for origin in ("out of fold", "corpus never heard")
    }
    assert manifest.data == ("ravdess: 35 examples", "tess: 35 examples")
    assert "--all-speakers" in manifest.command and manifest.preprocessing["held_out_fold"] is None


def test_cached_activations_answer_as_the_served_network(data: Path, tmp_path: Path) -> None:
    _write_sound(data / "0.wav", np.random.default_rng(1).integers(-9_000, 9_000, 90_000))
    config = AudioTrainConfig(data=data, cache=tmp_path / "cache")
    sides = read_sides(config, 0)
    network = recipe.build_mixture("base", 0).eval()
    cached = load_or_extract(network.trunk, sides.sounds, 2, config.cache, bf16=False)
    assert len(cached.utterance_S) == 71, "the sound of more than five seconds has two segments"
    rows = [0, 3, 8]
    found = MixtureData(sides, cached).log_probabilities(network, rows, bf16=False)
    served = predict_utterances(
        VoicePredictor(network, 1.0, torch.device("cpu")), [sides.sounds.waveforms[row] for row in rows]
    )
    expected = np.array([each.log_probabilities for each in served if each])
    assert found.numpy() == pytest.approx(expected, abs=2e-2)
    written = sorted(path.stat().st_mtime_ns for path in config.cache.rglob("*.frames"))
    again = load_or_extract(network.trunk, sides.sounds, 2, config.cache, bf16=False)
    assert sorted(path.stat().st_mtime_ns for path in config.cache.rglob("*.frames")) == written
    assert np.array_equal(again.copies[1].statistics_SD, cached.copies[1].statistics_SD)


@pytest.mark.slow
def test_build_mixture_tiny_has_two_frozen_blocks_of_its_encoder() -> None:
    network = mixture.build_mixture("tiny", 0)
    weights = TINY.arrays()["encoder/layer_1/self_attention/linear_1/weight"]
    assert torch.equal(network.trunk.blocks[1].self_attn.out_proj.weight, weights)
    assert (network.config.lower, network.config.statistics) == (2, 4 * 384)
    assert not any(each.requires_grad for each in network.trunk.parameters())


def test_neutral_talk_is_trained_on_in_pieces(data: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk"
    talk.mkdir()
    with pytest.raises(InvalidManifest, match="no recording"):
        read_sides(AudioTrainConfig(data=data, cache=tmp_path / "cache", neutral_talk=talk), 0)
    _write_sound(talk / "meeting.wav", np.random.default_rng(1).integers(-9_000, 9_000, 170_000))
    sides = read_sides(AudioTrainConfig(data=data, cache=tmp_path / "cache", neutral_talk=talk), 0)
    added = [sides.sounds.examples[row] for row in sides.training if sides.sounds.examples[row].dataset == "talk"]
    assert [example.label for example in added] == ["neutral", "neutral"]


def test_left_out_corpus_is_the_test_part(data: Path, tmp_path: Path) -> None:
    config = AudioTrainConfig(data=data, cache=tmp_path / "cache", leave_out=("tess",))
    sides = read_sides(config, config.held_out_fold)
    assert {(e.dataset, e.split) for e in sides.sounds.examples} == {("ravdess", "train"), ("tess", "test")}
    assert replace(config, leave_out=()).held_out_fold == 0
    assert replace(config, leave_out=(), all_speakers=True).held_out_fold is None


def test_mask_time_hides_frames_but_never_all() -> None:
    torch.manual_seed(0)
    mask_NT = torch.arange(40) < torch.tensor([[40]] * 20 + [[1]] * 20)
    masked_NT = mask_time(Activations(torch.zeros(40, 40, 2), mask_NT, torch.zeros(40, 4))).mask_NT
    assert masked_NT.any(dim=1).all() and not (masked_NT & ~mask_NT).any()
    assert masked_NT[:20].sum() < mask_NT[:20].sum()


def test_rerecord_keeps_a_sound_of_similar_length() -> None:
    sound = np.sin(np.arange(40_000) / 20).astype(np.float32)
    copies = [rerecord(sound, np.random.default_rng(seed)) for seed in range(12)]
    assert all(np.isfinite(copy).all() and 16_000 < len(copy) < 46_000 for copy in copies)
    assert np.array_equal(copies[0], rerecord(sound, np.random.default_rng(0)))
    assert len(rerecord(np.zeros(1, np.float32), np.random.default_rng(3))) >= 1

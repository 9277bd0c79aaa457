import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.__main__ import main
from ml.errors import InvalidManifest, ModelStoreError
from ml.inference.api import EmotionOutputs, ModalityFeatures
from ml.inference.fusion.predictor import FusionPredictor
from ml.networks.crops import LANDMARKS
from ml.networks.fusion import FusionConfig
from ml.registry import Bundle, ModelDescription, ModelStore
from ml.training.datasets.example import Example
from ml.training.evaluation import BundleReaders, evaluate_composed
from ml.training.loop import fit
from ml.training.options import add_options, from_args
from ml.training.preprocess import Prepared
from ml.training.recipes.fusion import recipe, synthetic_clips
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.prediction_cache import (
    SIDES,
    PredictionCache,
    Predictors,
    SamplePool,
    SamplePools,
    side_of,
)
from ml.training.recipes.fusion.recipe import batches, evaluate
from ml.training.recipes.fusion.synthetic_clips import (
    Clip,
    ClipData,
    compose,
    drop_modalities,
    load_composed_clips,
    window_features,
)
from ml.vocabulary import EMOTIONS, MODALITIES
from tests.speech_files import noise
from tests.toy_models import make_store, with_model

SIZE = 4


def _reading(label: int, certainty: float) -> ModalityFeatures:
    logs = np.full(len(EMOTIONS), np.log((1 - certainty) / 6), np.float32)
    logs[label] = np.log(certainty)
    return ModalityFeatures(np.full(SIZE, label, np.float32), logs)


def _pool(certainty: float, mistaken_for: int) -> SamplePool:
    """Pieces of which `certainty` are read rightly, the others as the emotion that lies `mistaken_for` places on."""
    labels = list(range(len(EMOTIONS))) * 10
    rights = [place < certainty * len(labels) for place in range(len(labels))]
    readings = [
        (_reading(label if right else (label + mistaken_for) % 7, certainty),)
        for label, right in zip(labels, rights, strict=True)
    ]
    return SamplePool.group(labels, readings)


@pytest.fixture
def pools() -> SamplePools:
    return SamplePools(face=_pool(0.7, 1), audio=_pool(0.6, 2), text=_pool(0.7, 3))


def _clips(pools: SamplePools, count: int) -> list[Clip]:
    random = np.random.default_rng(0)
    return [compose(random, pools) for _ in range(count)]


def test_compose_clips_have_the_configured_shares(pools: SamplePools) -> None:
    clips = _clips(pools, 4_000)
    assert all(any(clip.features.present.values()) for clip in clips)
    lacking = {name: np.mean([not clip.features.present[name] for clip in clips]) for name in MODALITIES}
    assert lacking == pytest.approx({"face": 0.15, "audio": 0.15, "text": 0.25}, abs=0.03)
    labels = np.bincount([clip.label for clip in clips], minlength=7) / len(clips)
    assert labels == pytest.approx(np.full(7, 1 / 7), abs=0.03)
    heard = [clip for clip in clips if clip.features.audio]
    agreeing = np.mean(
        [clip.features.audio.log_probabilities.argmax() == clip.label for clip in heard if clip.features.audio]
    )
    assert agreeing == pytest.approx(0.6, abs=0.03)


def test_drop_modalities_never_drops_all(pools: SamplePools) -> None:
    random = np.random.default_rng(0)
    left = [drop_modalities(random, clip) for clip in _clips(pools, 1_000)]
    assert all(any(clip.features.present.values()) for clip in left)
    assert np.mean([sum(clip.features.present.values()) for clip in left]) < 2.2


def test_fusion_batches_repeat_with_their_seed(pools: SamplePools) -> None:
    config = FusionConfig(SIZE, SIZE, SIZE)
    material = ClipData(lambda random: compose(random, pools), [], [])
    first, second = (next(batches(np.random.default_rng([0, 3]), material, config, 16)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert torch.equal(first[1], second[1])


def test_evaluate_addition_beats_each_modality(pools: SamplePools) -> None:
    predictor = FusionPredictor.addition(SIZE, SIZE, SIZE, torch.device("cpu"))
    clips, ablation = evaluate(predictor, _clips(pools, 1_500))
    assert ablation
    together = ablation.whole.accuracy
    assert together > max(alone.accuracy for alone in ablation.alone.values()) + 0.05
    assert ablation.without["face"].accuracy < together
    parts = [ablation.whole, *ablation.without.values(), *ablation.alone.values()]
    assert {part.n for part in parts} == {ablation.whole.n} and ablation.whole.n < clips.n == 1_500


@pytest.fixture
def words(tmp_path: Path, pools: SamplePools, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of a small run on clips composed of toy samples."""
    clips = ClipData(lambda random: compose(random, pools), _clips(pools, 60), _clips(pools, 90), clips_per_epoch=16)
    for module in (recipe, synthetic_clips):
        monkeypatch.setattr(module, "load_composed_clips", lambda *_: clips)
    folders = {"--data": tmp_path, "--store": tmp_path / "store", "--out": tmp_path / "run"}
    places = [word for name, folder in folders.items() for word in (name, str(folder))]
    return [*places, "--models", "face@1", "audio@1", "text@1", "--epochs", "1", "--batch", "8"]


def _config(words: list[str]) -> FusionTrainConfig:
    parser = argparse.ArgumentParser()
    add_options(parser, FusionTrainConfig)
    return from_args(FusionTrainConfig, parser.parse_args(words))


def test_fusion_plans_keep_seed_and_precision(words: list[str]) -> None:
    first, again, other = (
        recipe.plans(_config([*words, *more]))[-1] for more in ([], [], ["--seed", "1", "--precision", "bf16"])
    )
    assert (first.settings.seed, first.settings.bf16) == (0, False)
    assert (other.settings.seed, other.settings.bf16) == (1, True)
    labels = [next(iter(plan.task.batches(0)))[1].tolist() for plan in (first, again, other)]
    assert labels[0] == labels[1] != labels[2]
    weights = [torch.cat([p.flatten() for p in plan.task.model.parameters()]) for plan in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_fusion_publish_command_and_figures_can_be_repeated(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = ["--lstm", "16", "--dense", "32", "--projection", "16", "--optimizer", "sgd", "--learning-rate", "0.01"]
    config = _config([*words, *tuned, "--seed", "3"])
    for plan in recipe.plans(config):
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)
    assert recipe.publish(config, 1.0) == "fusion@1"
    manifest = ModelStore(config.store).manifest("fusion@1")
    recorded = shlex.split(manifest.command.partition(" fusion ")[2])
    places = [*words[: words.index("--models")]]
    assert _config([*places, *recorded]) == config
    assert "never recorded together" in (config.store / "fusion" / "1" / "card.md").read_text()

    measured = ["--composed", str(tmp_path), "--store", str(config.store)]
    assert main(["evaluate", "fusion", *measured, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    parts = [document.pop(name) for name in ("together", "without", "alone")]
    together, without, alone = parts
    found = {"clips": document, "with all three": together["all"]}
    found |= {f"without {name}": without[name] for name in MODALITIES}
    found |= {f"{name} alone": alone[name] for name in MODALITIES}
    assert found == {name: figures for name, figures in manifest.metrics.items() if "the LSTM: " not in name}
    assert len(manifest.metrics) == 2 * len(found)
    assert main(["evaluate", "fusion", *measured]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in ("all", *MODALITIES))
    assert main(["evaluate", "face", *measured]) == 1
    assert "--composed measures the fusion alone" in capsys.readouterr().err


class Sure:
    """Tone of voice: a loud sound is surely angry, a soft one perhaps sad."""

    def predict(self, waveforms: Sequence[NDArray[np.float32]]) -> EmotionOutputs:
        loud, soft = np.full((2, len(EMOTIONS)), [[0.001], [0.1]], np.float32)
        loud[[EMOTIONS.index("angry"), EMOTIONS.index("sad")]] = 0.98, 0.015
        soft[[EMOTIONS.index("angry"), EMOTIONS.index("sad")]] = 0.001, 0.499
        logs = [np.log(loud if np.abs(waveform).max() > 0.25 else soft) for waveform in waveforms]
        return EmotionOutputs(np.zeros((len(logs), 1), np.float32), np.stack(logs))


def test_window_features_long_recording_reads_as_served(tmp_path: Path) -> None:
    """The mean of the logarithms would be sad."""
    prepared = Prepared(
        example=Example("angry", "mine", "valid", path=tmp_path),
        crops=np.zeros((0, 8, 8), np.uint8),
        times=np.zeros(0, np.float32),
        landmarks=np.zeros((0, LANDMARKS, 3), np.float16),
        samples=np.concatenate([noise(4.0, 0.3), noise(4.0, 0.01)]),
        transcript=None,
    )
    models = Predictors(face=None, audio=Sure(), text=None)  # type: ignore[arg-type]
    heard = window_features(models, prepared).audio
    assert heard and heard.log_probabilities.argmax() == EMOTIONS.index("angry")


def test_evaluate_composed_bundle_without_fusion_is_refused(tmp_path: Path) -> None:
    store = ModelStore(make_store(tmp_path / "store"))
    store.write_bundle(Bundle(name="three", face="face@1", audio="audio@1", text="text@1", fusion=None))
    with pytest.raises(ModelStoreError, match="names no fusion model"):
        evaluate_composed(tmp_path, BundleReaders(store.root, "three"), tmp_path)


@pytest.mark.parametrize("preprocessing", [{}, {"held_out_fold": None}])
def test_load_composed_clips_unknown_fold_is_refused(preprocessing: dict[str, None], tmp_path: Path) -> None:
    store = ModelStore(make_store(tmp_path / "store"))
    draft = store.manifest("face@1").model_dump(include=set(ModelDescription.model_fields))
    store.publish(
        ModelDescription(**draft | {"name": "audio", "preprocessing": preprocessing}), store.weights("face@1"), ""
    )
    bundle = Bundle(name="three", face="face@1", audio="audio@1", text="text@1", fusion=None)
    with pytest.raises(InvalidManifest, match="audio@1 does not state which fold"):
        load_composed_clips(tmp_path, store, bundle, tmp_path)


def test_sample_pool_emotion_without_samples_is_named() -> None:
    with pytest.raises(InvalidManifest, match="surprise, neutral"):
        SamplePool.group([0, 1, 2, 3, 4], [(_reading(label, 0.5),) for label in range(5)])


def test_side_of_gives_a_half_and_two_quarters() -> None:
    sides = [side_of(f"person {number}") for number in range(2_000)]
    shares = {"test": 0.5, "selection": 0.25, "train": 0.25}
    assert {side: sides.count(side) / len(sides) for side in SIDES} == pytest.approx(shares, abs=0.04)


def test_prediction_cache_predicts_once_per_model_and_examples(tmp_path: Path) -> None:
    store = ModelStore(make_store(tmp_path / "store"))
    cache = PredictionCache(tmp_path / "readings", store, store.bundle("default"))
    made: list[int] = []

    def read() -> list[EmotionOutputs]:
        made.append(1)
        return [EmotionOutputs(np.ones((2, 3), np.float32), np.zeros((2, 7), np.float32))] * 2

    examples = [Example("happy", "mine", "valid", path=Path(f"{number}.png")) for number in range(2)]
    first, again = (cache.load_or_predict("face", examples, read) for _ in range(2))
    assert len(made) == 1 and len(first) == 2 and np.array_equal(first[1].embeddings_NE, again[1].embeddings_NE)
    cache.load_or_predict("face", examples[:1], read)
    draft = store.manifest("face@1").model_dump(include=set(ModelDescription.model_fields)) | {"temperature": 2.0}
    store.publish(ModelDescription(**draft), store.weights("face@1"), "")
    replace(cache, bundle=with_model(cache.bundle, "face", "face@2")).load_or_predict("face", examples, read)
    assert len(made) == 3

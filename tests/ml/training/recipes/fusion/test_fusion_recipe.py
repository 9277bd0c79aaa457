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
from ml.inference.api import EmotionOutputs
from ml.inference.fusion.calibration import FusionCalibration, by_emotion, normalized
from ml.inference.fusion.predictor import FusionPredictor
from ml.networks.crops import LANDMARKS
from ml.networks.fusion import FRAME_QUALITIES, WINDOW_QUALITIES, Fusion, FusionConfig
from ml.registry import Bundle, ModelDescription, ModelStore
from ml.training.datasets.example import Example
from ml.training.evaluation import BundleReaders, evaluate_composed
from ml.training.loop import fit
from ml.training.options import add_options, from_args
from ml.training.preprocess import Prepared
from ml.training.recipes.fusion import clip_data as loading
from ml.training.recipes.fusion import recipe
from ml.training.recipes.fusion.clip_data import (
    ClipData,
    LabelledLogs,
    composed_clips,
    load_composed_clips,
    window_features,
)
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.figures import FusionFigures, measure_rows, measure_single
from ml.training.recipes.fusion.fitting import calibrated, fit_addition, fit_model, fit_models
from ml.training.recipes.fusion.natural_prior import MEASURED
from ml.training.recipes.fusion.prediction_cache import (
    CALIBRATION_FOLDS,
    SIDES,
    PredictionCache,
    Predictions,
    Predictors,
    SamplePool,
    SamplePools,
    folds_of_people,
    side_of,
)
from ml.training.recipes.fusion.recipe import batches
from ml.training.recipes.fusion.synthetic_clips import (
    AUDIO,
    EVALUATED,
    FACE,
    UNIFORM,
    Clips,
    Composition,
    compose,
    drop_modalities,
    only,
    swap,
    without,
)
from ml.vocabulary import EMOTIONS, MODALITIES
from tests.speech_files import noise
from tests.toy_models import make_store, with_model


def _logs(label: int, certainty: float) -> NDArray[np.float32]:
    logs = np.full(len(EMOTIONS), np.log((1 - certainty) / 6), np.float32)
    logs[label] = np.log(certainty)
    return logs


def _pool(certainty: float, mistaken_for: int, qualities: int) -> SamplePool:
    """Return samples of which `certainty` are read rightly, the others as the emotion `mistaken_for` places on.

    What is spoilt is read as the same emotion whatever it is.
    """
    labels = list(range(len(EMOTIONS))) * 10
    rights = [place < certainty * len(labels) for place in range(len(labels))]
    clean = [
        _logs(own if right else (own + mistaken_for) % 7, certainty) for own, right in zip(labels, rights, strict=True)
    ]
    clean_PVC = np.stack(clean)[:, None]
    spoilt_PSC = np.repeat(_logs(2, certainty)[None, None], len(labels), axis=0)
    good, bad = (np.full((len(labels), 1, qualities), value, np.float32) for value in (0.9, 0.1))
    folds = [place // len(EMOTIONS) % CALIBRATION_FOLDS for place in range(len(labels))]
    return SamplePool.group(labels, Predictions(clean_PVC, spoilt_PSC, good, bad), folds)


@pytest.fixture(scope="module")
def pools() -> SamplePools:
    return SamplePools(_pool(0.7, 1, len(FRAME_QUALITIES)), _pool(0.6, 2, 2), _pool(0.7, 3, 2))


@pytest.fixture(scope="module")
def clip_data(pools: SamplePools) -> ClipData:
    sides = dict.fromkeys(SIDES, pools)
    return replace(composed_clips(sides, np.array(MEASURED), count=400), clips_per_epoch=64)


def _clips(pools: SamplePools, count: int, composition: Composition = EVALUATED) -> Clips:
    return compose(np.random.default_rng(0), pools, count, composition)


def test_compose_clips_have_the_configured_shares(pools: SamplePools) -> None:
    clips = _clips(pools, 4_000)
    mask_NM = clips.windows.mask_NM
    assert mask_NM.any(1).all()
    lacking = dict(zip(MODALITIES, 1 - mask_NM.mean(0), strict=True))
    assert lacking == pytest.approx({"face": 0.15, "audio": 0.15, "text": 0.25}, abs=0.03)
    assert np.bincount(clips.labels_N, minlength=7) / len(clips) == pytest.approx(np.full(7, 1 / 7), abs=0.03)
    heard = mask_NM[:, AUDIO] > 0
    assert (clips.windows.audio_NC.argmax(1) == clips.labels_N)[heard].mean() == pytest.approx(0.6, abs=0.03)


def test_compose_natural_clips_are_mostly_neutral_and_spoilt_ones_read_wrongly(pools: SamplePools) -> None:
    natural = _clips(pools, 2_000, Composition(np.array(MEASURED)))
    assert np.bincount(natural.labels_N)[-1] / len(natural) == pytest.approx(MEASURED[-1], abs=0.04)
    spoilt = _clips(pools, 500, Composition(UNIFORM, (0.0, 1.0, 0.0)))
    heard = spoilt.windows.mask_NM[:, AUDIO] > 0
    assert (spoilt.windows.audio_NC[heard].argmax(1) == 2).all()
    snr_N = spoilt.windows.quality_NQ[heard, WINDOW_QUALITIES.index("snr")]
    assert np.nanmax(snr_N) == pytest.approx(0.1)


def test_swap_changes_one_modality_alone(pools: SamplePools) -> None:
    clips = _clips(pools, 200).complete
    swapped = swap(clips, "audio").windows
    assert np.array_equal(swapped.text_NC, clips.windows.text_NC)
    assert np.array_equal(swapped.frames_NTC, clips.windows.frames_NTC)
    assert np.array_equal(swapped.audio_NC[1:], clips.windows.audio_NC[:-1])


def test_without_and_only_leave_no_quality_of_what_is_gone(pools: SamplePools) -> None:
    clips = _clips(pools, 300)
    assert not without(clips, "face").windows.mask_NM[:, FACE].any()
    words = only(clips, "text").windows
    assert (words.mask_NM == [0, 0, 1]).all() and not words.frame_mask_NT.any()
    assert np.isnan(words.quality_NQ[:, : WINDOW_QUALITIES.index("confidence")]).all()


def test_drop_modalities_never_drops_all(pools: SamplePools) -> None:
    left = drop_modalities(np.random.default_rng(0), _clips(pools, 1_000)).windows.mask_NM
    assert left.any(1).all() and left.sum(1).mean() < 2.2


def test_fusion_batches_repeat_with_their_seed(clip_data: ClipData) -> None:
    calibration = FusionCalibration()
    first, second = (next(batches(np.random.default_rng([0, 3]), clip_data, calibration, 16)) for _ in range(2))
    assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(first[0], second[0], strict=True))
    assert torch.equal(first[1], second[1])


def test_addition_beats_each_modality(clip_data: ClipData) -> None:
    predictor = FusionPredictor.addition(torch.device("cpu"))
    rows = measure_rows(predictor, clip_data.test, resamples=1)
    together = rows["with all three"].metrics.accuracy
    assert together > max(rows[f"{name} alone"].metrics.accuracy for name in MODALITIES) + 0.02
    assert rows["without face"].metrics.accuracy < together
    assert rows["audio swapped"].metrics.accuracy < together > rows["audio spoilt"].metrics.accuracy
    assert all(rows[f"{name} alone"].first_in_none == 0 for name in MODALITIES)


def test_fit_model_finds_the_prior_of_a_model() -> None:
    random = np.random.default_rng(0)
    prior = np.array([0.05, 0.05, 0.05, 0.2, 0.05, 0.1, 0.5])
    labels = random.integers(0, 7, 6_000)
    logits = random.normal(0, 1, (6_000, 7))
    logits[np.arange(6_000), labels] += 1  # log-odds of independent evidence with unit deviation
    answers = normalized(logits + np.log(prior))
    fitted = fit_model(LabelledLogs(answers, labels))
    assert fitted.temperature == pytest.approx(1, abs=0.1)
    assert fitted.prior == pytest.approx(dict(zip(EMOTIONS, prior, strict=True)), abs=0.05)


def test_calibrated_fusion_covers_and_is_calibrated(clip_data: ClipData) -> None:
    calibration = FusionCalibration(
        models=fit_models(clip_data.selection.singles), natural_prior=by_emotion(clip_data.natural_prior)
    )
    network = fit_addition(list(batches(np.random.default_rng(0), clip_data, calibration, 64)))
    predictor = calibrated(network, 1.0, calibration, clip_data.selection)
    found = FusionFigures.of(predictor, clip_data.selection, resamples=1)
    sets = found.rows["clips"].sets
    assert sets and sets.coverage == pytest.approx(0.9, abs=0.04) and sets.size >= 1
    assert {"picture reading", "face reading", "audio reading, natural"} <= set(found.rows)
    assert any(line.startswith("  clips, natural") for line in found.lines())


@pytest.fixture
def words(tmp_path: Path, clip_data: ClipData, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of a small run on clips composed of toy samples."""
    for module in (recipe, loading):
        monkeypatch.setattr(module, "load_composed_clips", lambda *_: clip_data)
    folders = {"--data": tmp_path, "--store": tmp_path / "store", "--out": tmp_path / "run"}
    places = [word for name, folder in folders.items() for word in (name, str(folder))]
    return [*places, "--models", "face@1", "audio@1", "text@1", "--epochs", "1", "--batch", "32"]


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


@pytest.mark.slow
def test_fusion_publish_command_and_figures_can_be_repeated(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = ["--lstm", "16", "--dense", "32", "--optimizer", "sgd", "--learning-rate", "0.01"]
    config = _config([*words, *tuned, "--seed", "3"])
    for plan in recipe.plans(config):
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)
    assert recipe.publish(config, 1.0) == "fusion@1"
    manifest = ModelStore(config.store).manifest("fusion@1")
    recorded = shlex.split(manifest.command.partition(" fusion ")[2])
    places = [*words[: words.index("--models")]]
    assert _config([*places, *recorded]) == config
    card = (config.store / "fusion" / "1" / "card.md").read_text()
    assert "never recorded together" in card and "neutral 0.467" in card

    measured = ["--composed", str(tmp_path), "--store", str(config.store)]
    assert main(["evaluate", "fusion", *measured, "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = document.pop("composed")
    assert document == {name: found["clips"][name] for name in document}
    served = {name: each for name, each in manifest.metrics.items() if not name.startswith(("gated: ", "addition: "))}
    assert found == served and len(manifest.metrics) == 2 * len(found)
    assert main(["evaluate", "fusion", *measured]) == 0
    printed = capsys.readouterr().out
    names = ("clips", "audio swapped", "face spoilt, natural", "picture reading")
    assert all(f"  {name} " in printed for name in names)
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


def test_sample_pool_emotion_without_samples_is_named(pools: SamplePools) -> None:
    with pytest.raises(InvalidManifest, match="surprise, neutral"):
        SamplePool.group([0, 1, 2, 3, 4], pools.face.predictions.select([0, 1, 2, 3, 4]), [0] * 5)


def test_folds_of_people_keep_a_person_together_and_deal_each_data_set_by_turns() -> None:
    people = [(name, f"{name} {number}") for name, count in (("many", 20), ("few", 2)) for number in range(count)] * 2
    folds = folds_of_people(people)
    assert folds[:22] == folds[22:]
    assert sorted(folds[:20]) == sorted([0, 1, 2, 3, 4] * 4) and sorted(folds[20:22]) == [0, 1]


def test_measure_single_uses_what_other_people_fit(clip_data: ClipData) -> None:
    readings = clip_data.selection.singles["audio"]
    assert readings.folds_N is not None and set(readings.folds_N.tolist()) == {0, 1, 2, 3, 4}
    calibration = FusionCalibration(natural_prior=by_emotion(clip_data.natural_prior))
    predictor = FusionPredictor(Fusion(FusionConfig(gated=False)), 1.0, torch.device("cpu"), calibration)
    left_out = measure_single(predictor, "audio", readings, "uniform", resamples=1)
    published = measure_single(predictor, "audio", replace(readings, folds_N=None), "uniform", resamples=1)
    assert left_out.sets and left_out.sets.coverage == pytest.approx(0.9, abs=0.1) and published.sets is None


def test_side_of_gives_a_half_and_two_quarters() -> None:
    sides = [side_of(f"person {number}") for number in range(2_000)]
    shares = {"test": 0.5, "selection": 0.25, "train": 0.25}
    assert {side: sides.count(side) / len(sides) for side in SIDES} == pytest.approx(shares, abs=0.04)


def test_prediction_cache_predicts_once_per_model_and_examples(tmp_path: Path) -> None:
    store = ModelStore(make_store(tmp_path / "store"))
    cache = PredictionCache(tmp_path / "readings", store, store.bundle("default"))
    made: list[int] = []

    def read() -> Predictions:
        made.append(1)
        return Predictions(*(np.full((2, 1, size), len(made), np.float32) for size in (7, 7, 5, 5)))

    examples = [Example("happy", "mine", "valid", path=Path(f"{number}.png")) for number in range(2)]
    first, again = (cache.load_or_predict("face", examples, read) for _ in range(2))
    assert len(made) == 1 and np.array_equal(first.clean_PVC, again.clean_PVC)
    cache.load_or_predict("face", examples[:1], read)
    draft = store.manifest("face@1").model_dump(include=set(ModelDescription.model_fields)) | {"temperature": 2.0}
    store.publish(ModelDescription(**draft), store.weights("face@1"), "")
    replace(cache, bundle=with_model(cache.bundle, "face", "face@2")).load_or_predict("face", examples, read)
    assert len(made) == 3

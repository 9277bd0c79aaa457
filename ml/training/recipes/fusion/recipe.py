"""Recipe of the fusion, trained on recordings with picture and sound (a list), or on composed clips.

Composed clips are made of faces, voices and sentences of a folder of collected data, for lack of a corpus with all
three. Two fusions are trained: the addition of log-odds, and the same with a correction by an LSTM. The one that does
better on the selection clips is published.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.inference.fusion.predictor import FusionPredictor, WindowFeatures, collate
from ml.networks import config_to_dict
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.registry import Bundle, ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.datasets.manifest import read_examples
from ml.training.loop import Task, averaged_weights, history, run_settings
from ml.training.metrics import Ablation, ClassificationMetrics, fit_temperature, measure
from ml.training.model_card import card
from ml.training.recipes.fusion.config import FusionTrainConfig
from ml.training.recipes.fusion.prediction_cache import Random
from ml.training.recipes.fusion.synthetic_clips import Clip, ClipData, drop_modalities, load_clips, load_composed_clips
from ml.training.recipes.recipe import (
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    LICENCE_OF_ITS_DATA,
    HeldOut,
    OutOfFold,
    Plan,
    licence_of,
    loop_options,
    metrics_with_folds,
    restrictions,
    training_sets,
)
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

config_type: type[FusionTrainConfig] = FusionTrainConfig

WARM_UP, WEIGHT_DECAY = 0.2, 0.02
LIMITS_OF_CLIPS = (
    "Trained and measured on clips composed of faces, voices and sentences that were never recorded together: these "
    "figures compare ways to fuse, and say little about real people who speak.",
    "The clips that are measured on are of other people and sentences than those trained on, and than those that "
    "choose and calibrate.",
)


def batches(random: Random, clips: ClipData, shape: FusionConfig, size: int) -> Iterator[tuple[FusionInput, Tensor]]:
    for _ in range(clips.clips_per_epoch // size):
        drawn = [drop_modalities(random, clips.draw(random)) for _ in range(size)]
        yield collate([clip.features for clip in drawn], shape), torch.tensor([clip.label for clip in drawn])


def loss(model: nn.Module, batch: tuple[FusionInput, Tensor]) -> Tensor:
    windows, labels = batch
    return cross_entropy(model(windows).float(), labels, label_smoothing=0.05)


def evaluate(predictor: FusionPredictor, clips: Sequence[Clip]) -> tuple[ClassificationMetrics, Ablation | None]:
    """Return the figures of the fusion on all clips, and an ablation on the clips with all modalities.

    The ablation has the figures without each modality, and those of each modality alone (its own probabilities).
    """
    full = [clip for clip in clips if all(clip.features.present.values())]
    figures = _figures(predictor, clips)
    if not full:
        return figures, None
    without: dict[str, ClassificationMetrics] = {}
    alone: dict[str, ClassificationMetrics] = {}
    for modality in MODALITIES:
        left = [replace(clip, features=clip.features.without(modality)) for clip in full]
        without[modality] = _figures(predictor, left)
        logs = np.stack([single_modality(clip.features, modality) for clip in full])
        alone[modality] = measure(np.exp(logs), _labels(full), EMOTIONS)
    return figures, Ablation(_figures(predictor, full), without, alone)


def figures_by_name(clips: ClassificationMetrics, ablation: Ablation | None) -> dict[str, Any]:
    """Return the figures by the names that a manifest has."""
    named = {"clips": clips}
    if ablation:
        named["with all three"] = ablation.whole
        named |= {f"without {name}": metrics for name, metrics in ablation.without.items()}
        named |= {f"{name} alone": metrics for name, metrics in ablation.alone.items()}
    return {name: metrics.json() for name, metrics in named.items()}


def measure_published(
    data: Path, store: ModelStore, bundle: Bundle, cache: Path
) -> tuple[ClassificationMetrics, Ablation | None]:
    """Evaluate the fusion of a bundle that names all models, on the composed test clips that `publish` uses."""
    assert bundle.fusion
    predictor = FusionPredictor.load(store, bundle.fusion, torch.device("cpu"))
    return evaluate(predictor, load_composed_clips(data, store, bundle, cache).test)


def single_modality(features: WindowFeatures, modality: Modality) -> NDArray[np.float32]:
    """Return the log-probabilities [7] of one modality alone; for the face, the log of the mean of its frames."""
    if modality == "face":
        seen = [np.exp(frame.log_probabilities) for frame in features.face if frame]
        return np.asarray(np.log(np.mean(seen, axis=0)), np.float32)
    reading = features.audio if modality == "audio" else features.text
    assert reading is not None
    return reading.log_probabilities


def _figures(predictor: FusionPredictor, clips: Sequence[Clip]) -> ClassificationMetrics:
    logs = predictor.predict([clip.features for clip in clips]).log_probabilities_NC
    return measure(np.exp(logs), _labels(clips), EMOTIONS)


def _labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips])


def plans(config: FusionTrainConfig) -> list[Plan]:
    """Return two runs: the addition of log-odds, and the same with the correction by the LSTM."""
    torch.set_num_threads(config.threads)
    clips = load_clips(config)
    addition = FusionConfig(**clips.sizes, residual=False)
    with_lstm = replace(addition, residual=True, lstm=config.lstm, dense=config.dense, projection=config.projection)
    return [_plan(config, shape, clips) for shape in (addition, with_lstm)]


def _plan(config: FusionTrainConfig, shape: FusionConfig, clips: ClipData) -> Plan:
    torch.manual_seed(config.seed)
    targets = _labels(clips.selection)

    def validate(model: nn.Module) -> dict[str, float]:
        logs = _predict(cast(Fusion, model), 1.0, clips.selection)
        accuracy = float((logs.argmax(1) == targets).mean())
        return {"accuracy": accuracy, CHOSEN_BY: accuracy}

    size = config.batch_size
    task = Task(
        model=Fusion(shape),
        steps=clips.clips_per_epoch // size,
        batches=lambda epoch: batches(np.random.default_rng([config.seed, epoch]), clips, shape, size),
        loss=loss,
        validate=validate,
    )
    extra = {"config": config_to_dict(shape), "bundle": list(config.models), "batch": size}
    settings = config.loop(warm_up=WARM_UP, weight_decay=WEIGHT_DECAY)
    return Plan(settings, task, extra, _folder(residual=shape.residual))


def _folder(*, residual: bool) -> str:
    return "lstm" if residual else "addition"


def space(trial: Any, config: FusionTrainConfig) -> dict[str, Any]:
    """Return the sizes of LSTM, dense layer and projection, and the learning rate of a trial."""
    return {
        "lstm": trial.suggest_categorical("lstm", [16, 32, 48, 96]),
        "dense": trial.suggest_categorical("dense", [32, 64, 128]),
        "projection": trial.suggest_categorical("projection", [16, 32, 64]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
    }


def trained_network(run: Path, *, residual: bool) -> Fusion:
    """Return the network of a run in half precision, as the store keeps it."""
    folder = run / _folder(residual=residual)
    network = Fusion(FusionConfig(**run_settings(folder)["config"]))
    network.load_state_dict(averaged_weights(folder))
    return network.half().float().eval()


def held_out(config: FusionTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """Return the outputs of the better fusion for the selection clips, all of them as validation examples."""
    clips = load_clips(config)
    network = trained_network(config.out, residual=_lstm_is_better(config.out))
    logs = _predict(network, 1.0, clips.selection)
    examples = [Example(EMOTIONS[clip.label], "clips", "valid") for clip in clips.selection]
    return HeldOut(torch.from_numpy(logs), examples)


def _lstm_is_better(run: Path) -> bool:
    """Return whether the correction by the LSTM helps on the selection clips."""
    accuracy = {residual: history(run / _folder(residual=residual))[-1]["accuracy"] for residual in (False, True)}
    return accuracy[True] > accuracy[False]


def _predict(network: Fusion, temperature: float, clips: Sequence[Clip]) -> NDArray[np.float32]:
    """Return log-probabilities [N, 7]."""
    predictor = FusionPredictor(network, temperature, torch.device("cpu"))
    return predictor.predict([clip.features for clip in clips]).log_probabilities_NC


def publish(config: FusionTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate both fusions, write the better one as the next version into `--store`, and write the bundle."""
    clips, store = load_clips(config), ModelStore(config.store)
    lstm_is_better = _lstm_is_better(config.out)
    network, other = (trained_network(config.out, residual=each) for each in (lstm_is_better, not lstm_is_better))
    other_temperature = fit_temperature(
        torch.from_numpy(_predict(other, 1.0, clips.selection)), torch.from_numpy(_labels(clips.selection))
    )
    figures, other_figures = (
        figures_by_name(*evaluate(FusionPredictor(model, divisor, torch.device("cpu")), clips.test))
        for model, divisor in ((network, temperature), (other, other_temperature))
    )
    prefix = "without" if lstm_is_better else "with"
    figures |= {f"{prefix} the LSTM: {name}": value for name, value in other_figures.items()}
    description = _describe(config, network.config, temperature, metrics_with_folds(figures, folds))
    limits = _limits_of_recordings(clips) if config.data.is_file() else LIMITS_OF_CLIPS
    text = _card(description, limits, lstm=lstm_is_better)
    reference = store.publish(description, network.state_dict(), card=text)
    face, audio, words = config.models
    store.write_bundle(Bundle.from_fields(name=config.bundle, face=face, audio=audio, text=words, fusion=reference))
    return reference


def _describe(
    config: FusionTrainConfig, shape: FusionConfig, temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    listed = config.data.is_file()
    return ModelDescription(
        name=config.name,
        architecture="fusion",
        config=config_to_dict(shape),
        labels=EMOTIONS,
        preprocessing={"models": list(config.models)},
        temperature=temperature,
        metrics=metrics,
        data=training_sets(list(read_examples(config.data)))
        if listed
        else (
            "Composed clips of held-out pieces: FER2013 public test, AffectNet tenth, SFEW, CK+, JAFFE and others",
            "RAVDESS and nEMO speakers held out, TESS, Urdu talk shows",
            "GoEmotions dev, MELD dev",
        ),
        command=_command(config.out, config.bundle),
        licence=licence_of(
            config,
            LICENCE_OF_ITS_DATA if listed else "Trained on readings of data sets for research.",
            restrictions(ModelStore(config.store), config.models) if config.commercial else [],
        ),
    )


def _command(run: Path, bundle: str) -> str:
    """Return the command that trained both fusions of a run, with the sizes of the one with the LSTM."""
    settings = run_settings(run / _folder(residual=True))
    loop, shape = settings["loop"], settings["config"]
    command = f"python -m ml train fusion --models {' '.join(settings['bundle'])} --bundle {bundle}"
    command += f" --lstm {shape['lstm']} --dense {shape['dense']} --projection {shape['projection']}"
    command += f" --epochs {loop['epochs']} --batch-size {settings['batch']} --learning-rate {loop['learning_rate']}"
    return command + (" --precision bf16" if loop["bf16"] else "") + loop_options(loop)


def _limits_of_recordings(clips: ClipData) -> tuple[str, ...]:
    own_test = clips.test is not clips.selection
    return (
        "Trained and measured on the recordings of one list, each read as one window: other people, places and ways to "
        "record were not seen.",
        "If its models were trained on the same recordings, it trusts them too much.",
        "The recordings that are measured on are neither those trained on nor those that choose and calibrate."
        if own_test
        else "The recordings that are measured on also chose and calibrated it: the figures are too good.",
    )


def _card(description: ModelDescription, limits: Sequence[str], *, lstm: bool) -> str:
    shape = "log-odds added, and corrected by an LSTM over the face's frames" if lstm else "log-odds added by weight"
    return card(
        description,
        title="Affect fusion",
        summary=f"Joins face, voice and words of one window: {shape}. Absent modalities are masked.",
        use="With the models that it was trained on: " + ", ".join(description.preprocessing["models"]) + ".",
        limits=limits,
    )

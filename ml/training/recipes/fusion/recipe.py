"""The fusion, trained on recordings that are seen and heard (a list), or, where there is no such corpus, on clips
composed of faces, voices and sentences (a folder of collected data).

Two fusions are trained, the addition of log-odds and the same with the LSTM's correction; the one that does better on
the clips that are chosen on is published.
"""

import argparse
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
from ml.networks import config_of
from ml.networks.fusion import Fusion, FusionConfig, FusionInput
from ml.registry import Bundle, ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.datasets.manifest import read_examples
from ml.training.loop import LoopConfig, Task, averaged_weights, history, run_settings
from ml.training.metrics import Ablation, Metrics, fit_temperature, measure
from ml.training.model_card import card
from ml.training.recipes.fusion.prediction_cache import Random
from ml.training.recipes.fusion.synthetic_clips import Clip, Material, drop_modalities, load_clips, load_composed_clips
from ml.training.recipes.recipe import (
    AS_ITS_DATA,
    CHOSEN_BY,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    licence_of,
    loop_options,
    restrictions,
    sets_of,
)
from ml.vocabulary import EMOTIONS, MODALITIES, Modality

LIMITS_OF_CLIPS = (
    "Trained and measured on clips composed of faces, voices and sentences that were never recorded together: these "
    "figures compare ways to fuse, and say little about real people who speak.",
    "The clips that are measured on are of other people and sentences than those trained on, and than those that "
    "choose and calibrate.",
)


def batches(
    random: Random, material: Material, config: FusionConfig, size: int
) -> Iterator[tuple[FusionInput, Tensor]]:
    for _ in range(material.clips_an_epoch // size):
        clips = [drop_modalities(random, material.draw(random)) for _ in range(size)]
        yield collate([clip.evidence for clip in clips], config), torch.tensor([clip.label for clip in clips])


def loss(model: nn.Module, batch: tuple[FusionInput, Tensor]) -> Tensor:
    windows, labels = batch
    return cross_entropy(model(windows).float(), labels, label_smoothing=0.05)


def evaluate(predictor: FusionPredictor, clips: Sequence[Clip]) -> tuple[Metrics, Ablation | None]:
    """Figures of the fusion on all clips, and on those with all modalities: there with each taken away and each alone
    (the single modality's own probabilities)."""
    full = [clip for clip in clips if all(clip.evidence.present.values())]
    figures = _figures(predictor, clips)
    if not full:
        return figures, None
    without: dict[str, Metrics] = {}
    alone: dict[str, Metrics] = {}
    for modality in MODALITIES:
        left = [replace(clip, evidence=clip.evidence.without(modality)) for clip in full]
        without[modality] = _figures(predictor, left)
        logs = np.stack([single(clip.evidence, modality) for clip in full])
        alone[modality] = measure(np.exp(logs), _labels(full), EMOTIONS)
    return figures, Ablation(_figures(predictor, full), without, alone)


def figures_by_name(clips: Metrics, ablation: Ablation | None) -> dict[str, Any]:
    """As a manifest holds them."""
    named = {"clips": clips}
    if ablation:
        named["with all three"] = ablation.whole
        named |= {f"without {name}": metrics for name, metrics in ablation.without.items()}
        named |= {f"{name} alone": metrics for name, metrics in ablation.alone.items()}
    return {name: metrics.json() for name, metrics in named.items()}


def measure_published(data: Path, store: ModelStore, bundle: Bundle, cache: Path) -> tuple[Metrics, Ablation | None]:
    """Of the fusion of a bundle that names all models, on the clips composed of `data` that `publish` measures on."""
    assert bundle.fusion
    predictor = FusionPredictor.load(store, bundle.fusion, torch.device("cpu"))
    return evaluate(predictor, load_composed_clips(data, store, bundle, cache).measured)


def single(evidence: WindowFeatures, modality: Modality) -> NDArray[np.float32]:
    """What one modality says by itself: log-probabilities [7], of the face the log of its frames' mean."""
    if modality == "face":
        seen = [np.exp(frame.log_probabilities) for frame in evidence.face if frame]
        return np.asarray(np.log(np.mean(seen, axis=0)), np.float32)
    found = evidence.audio if modality == "audio" else evidence.text
    assert found is not None
    return found.log_probabilities


def _figures(predictor: FusionPredictor, clips: Sequence[Clip]) -> Metrics:
    logs = predictor.predict([clip.evidence for clip in clips]).log_probabilities_NC
    return measure(np.exp(logs), _labels(clips), EMOTIONS)


def _labels(clips: Sequence[Clip]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips])


def plans(args: argparse.Namespace) -> list[Plan]:
    """The addition of log-odds, and the same with the LSTM's correction."""
    torch.set_num_threads(args.threads)
    material = load_clips(args)
    addition = FusionConfig(**material.sizes, residual=False)
    shaped = replace(addition, residual=True, lstm=args.lstm, dense=args.dense, projection=args.projection)
    return [_plan(args, config, material) for config in (addition, shaped)]


def _plan(args: argparse.Namespace, config: FusionConfig, material: Material) -> Plan:
    torch.manual_seed(args.seed)
    targets = _labels(material.fitting)

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = FusionPredictor(cast(Fusion, model), 1.0, torch.device("cpu"))
        logs = predictor.predict([clip.evidence for clip in material.fitting]).log_probabilities_NC
        accuracy = float((logs.argmax(1) == targets).mean())
        return {"accuracy": accuracy, CHOSEN_BY: accuracy}

    task = Task(
        model=Fusion(config),
        steps=material.clips_an_epoch // args.batch,
        batches=lambda epoch: batches(np.random.default_rng([args.seed, epoch]), material, config, args.batch),
        loss=loss,
        validate=validate,
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        warm_up=0.2,
        weight_decay=0.02,
        bf16=PRECISION[args.precision],
        seed=args.seed,
    )
    extra = {"config": config_of(config), "bundle": args.models, "batch": args.batch}
    return Plan(settings, task, extra, _folder(residual=config.residual))


def _folder(*, residual: bool) -> str:
    return "lstm" if residual else "addition"


def space(trial: Any, args: argparse.Namespace) -> dict[str, Any]:
    """LSTM and dense sizes, and the rate."""
    return {
        "lstm": trial.suggest_categorical("lstm", [16, 32, 48, 96]),
        "dense": trial.suggest_categorical("dense", [32, 64, 128]),
        "projection": trial.suggest_categorical("projection", [16, 32, 64]),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
    }


def trained(run: Path, *, residual: bool) -> Fusion:
    """The net of a run, as the store keeps it: in half precision."""
    folder = run / _folder(residual=residual)
    network = Fusion(FusionConfig(**run_settings(folder)["config"]))
    network.load_state_dict(averaged_weights(folder))
    return network.half().float().eval()


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """What the better fusion says of the clips that are chosen and calibrated on, all of them for validation."""
    material = load_clips(args)
    network = trained(args.out, residual=_better(args.out))
    logs = _logs(network, 1.0, material.fitting)
    examples = [Example(EMOTIONS[clip.label], "clips", "valid") for clip in material.fitting]
    return HeldOut(torch.from_numpy(logs), examples)


def _better(run: Path) -> bool:
    """Whether the LSTM's correction helps, on the clips that are chosen on."""
    last = {residual: history(run / _folder(residual=residual))[-1]["accuracy"] for residual in (False, True)}
    return last[True] > last[False]


def _logs(network: Fusion, temperature: float, clips: Sequence[Clip]) -> NDArray[np.float32]:
    predictor = FusionPredictor(network, temperature, torch.device("cpu"))
    return predictor.predict([clip.evidence for clip in clips]).log_probabilities_NC


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures both fusions, and writes the better one as the next version into `--store`, and the bundle."""
    material, store = load_clips(args), ModelStore(args.store)
    best = _better(args.out)
    network, other = (trained(args.out, residual=residual) for residual in (best, not best))
    own_temperature = fit_temperature(
        torch.from_numpy(_logs(other, 1.0, material.fitting)), torch.from_numpy(_labels(material.fitting))
    )
    figures, compared = (
        figures_by_name(*evaluate(FusionPredictor(model, divisor, torch.device("cpu")), material.measured))
        for model, divisor in ((network, temperature), (other, own_temperature))
    )
    told = "without" if best else "with"
    figures |= {f"{told} the LSTM: {name}": value for name, value in compared.items()}
    draft = _draft(args, network.config, temperature, figures)
    limits = _limits_of_recordings(material) if args.data.is_file() else LIMITS_OF_CLIPS
    reference = store.publish(draft, network.state_dict(), card=_card(draft, limits, lstm=best))
    face, audio, text = args.models
    store.write_bundle(Bundle.from_fields(name=args.bundle, face=face, audio=audio, text=text, fusion=reference))
    return reference


def _draft(
    args: argparse.Namespace, config: FusionConfig, temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    return ModelDescription(
        name=args.name,
        architecture="fusion",
        config=config_of(config),
        labels=EMOTIONS,
        preprocessing={"models": args.models},
        temperature=temperature,
        metrics=metrics,
        data=sets_of(list(read_examples(args.data)))
        if args.data.is_file()
        else (
            "Composed clips of held-out pieces: FER2013 public test, AffectNet tenth, SFEW, CK+, JAFFE and others",
            "RAVDESS and nEMO speakers held out, TESS, Urdu talk shows",
            "GoEmotions dev, MELD dev",
        ),
        command=_command(args.out, args.bundle),
        licence=licence_of(
            args,
            AS_ITS_DATA if args.data.is_file() else "Trained on readings of data sets for research.",
            restrictions(ModelStore(args.store), args.models) if args.commercial else [],
        ),
    )


def _command(run: Path, bundle: str) -> str:
    """What made both fusions of a run: the sizes are those of the LSTM's."""
    settings = run_settings(run / _folder(residual=True))
    loop, config = settings["loop"], settings["config"]
    told = f"python -m ml train fusion --models {' '.join(settings['bundle'])} --bundle {bundle}"
    told += f" --lstm {config['lstm']} --dense {config['dense']} --projection {config['projection']}"
    told += f" --epochs {loop['epochs']} --batch {settings['batch']} --learning-rate {loop['learning_rate']}"
    return told + (" --precision bf16" if loop["bf16"] else "") + loop_options(loop)


def _limits_of_recordings(material: Material) -> tuple[str, ...]:
    own_test = material.measured is not material.fitting
    return (
        "Trained and measured on the recordings of one list, each read as one window: other people, places and ways to "
        "record were not seen.",
        "Where its models were trained on the same recordings, it trusts them too much.",
        "The recordings that are measured on are neither those trained on nor those that choose and calibrate."
        if own_test
        else "The recordings that are measured on also chose and calibrated it: the figures are too good.",
    )


def _card(draft: ModelDescription, limits: Sequence[str], *, lstm: bool) -> str:
    shape = "log-odds added, and corrected by an LSTM over the face's frames" if lstm else "log-odds added by weight"
    return card(
        draft,
        title="Affect fusion",
        summary=f"Joins face, voice and words of one window: {shape}. What is absent is masked.",
        use="Together with the models that it was trained on: " + ", ".join(draft.preprocessing["models"]) + ".",
        limits=limits,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "fusion")
    parser.set_defaults(precision="fp32")
    parser.add_argument("--models", nargs=3, metavar=("FACE", "AUDIO", "TEXT"), required=True)
    parser.add_argument("--bundle", default="default", help="publish: the bundle that is written")
    parser.add_argument(
        "--whisper", metavar="NAME", default="tiny.en", help="writes down what recordings of a list say"
    )
    parser.add_argument("--lstm", type=int, default=FusionConfig.lstm, help="size of the LSTM over the frames")
    parser.add_argument("--dense", type=int, default=FusionConfig.dense)
    parser.add_argument("--projection", type=int, default=FusionConfig.projection)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)

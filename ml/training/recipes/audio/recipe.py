"""Recipe of the audio networks: the mixture and the encoder that start from Whisper's, or the small CNN from scratch.

The mixture (`mixture.py`) is trained on cached activations. The CNN may learn from the answers of an encoder in
addition to the labels (Hinton et al. 2015). Of the encoder, stem and lower blocks keep the weights of Whisper; the
upper two train at a tenth of the learning rate of the head. For both, speed is changed, sounds are cut, their bandwidth
is limited as by a telephone, and noise is added; bands and times of their spectrograms are masked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ml.errors import InvalidManifest
from ml.inference.voice.predictor import VoiceNetwork, VoicePredictor
from ml.inference.voice.segments import predict_utterances
from ml.networks import build, config_to_dict
from ml.networks.audio import AudioCnn, AudioCnnConfig, SpeechEncoder, SpeechEncoderConfig
from ml.networks.mel import SAMPLE_RATE, log_mel
from ml.networks.speech_mixture import SpeechMixture
from ml.registry import ModelDescription, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.devices import bf16_is_faster
from ml.training.loop import HISTORY, LoopConfig, Task, averaged_weights, parameter_groups, run_settings
from ml.training.metrics import RESAMPLES, measure
from ml.training.model_card import card
from ml.training.recipes.audio import mixture
from ml.training.recipes.audio.activations import load_or_extract
from ml.training.recipes.audio.augment import augment, mask_maps
from ml.training.recipes.audio.config import AudioTrainConfig
from ml.training.recipes.audio.data import Sides, Sounds, balance, read_sides
from ml.training.recipes.audio.mixture import MIXTURE_STARTS, MixtureData, build_mixture
from ml.training.recipes.audio.pretrained import TINY, load_start
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
STARTED = ("speech_mixture", "speech_encoder")
"""Architectures that start from an encoder of Whisper."""
TEACHER = "answers of our net that began with the {}"

DATA_RESTRICTIONS = (
    "RAVDESS and nEMO are CC BY-NC-SA 4.0, TESS is CC BY-NC-ND 4.0, ASED and the Urdu corpus are for research."
)
HEARD_ALL = "It heard all speakers: the figures are of networks of its recipe that left out a fold or a corpus each."
LIMITS = (
    "Trained on actors who speak set sentences in English, Polish and Amharic, and on Urdu talk shows. Others are "
    "read less well: see the figures of corpora that a network did not hear.",
    "Only RAVDESS and TESS have disgust.",
    "Children, accents, illness and singing are not in the data.",
)


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


def build_network(architecture: str) -> tuple[VoiceNetwork, list[dict[str, Any]]]:
    """Return a network to train, with its parameter groups."""
    decay = LoopConfig.weight_decay
    if architecture == "audio_cnn":
        cnn = AudioCnn(AudioCnnConfig())
        return cnn, parameter_groups(cnn, decay)
    encoder = SpeechEncoder(SpeechEncoderConfig())
    load_start(encoder, TINY.arrays())
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
    start = resolve_start(config.start, fold) if config.start else None
    sides = read_sides(config, fold)
    if len(sides.training) < config.batch_size:
        raise InvalidManifest(f"{len(sides.training)} sounds to train on are less than a batch of {config.batch_size}")
    extra: dict[str, Any] = {"batch": config.batch_size, "fold": fold}
    steps = extra["steps"] = config.steps or len(sides.training) // config.batch_size
    plan_task = _mixture_task if config.architecture == "speech_mixture" else _online_task
    task = plan_task(config, sides, steps, start_weights(start, ModelStore(config.store), fold) if start else None)
    extra |= {"architecture": config.architecture, "config": config_to_dict(cast(VoiceNetwork, task.model).config)}
    if config.leave_out:
        extra["left_out"] = list(config.leave_out)
    if start:
        extra["start"] = start
    if config.teacher:
        extra["taught_by"] = str(config.teacher)
    if config.architecture == "speech_mixture":
        extra |= {
            "encoder": config.encoder,
            "copies": config.copies,
            "neutral_talk": str(config.neutral_talk) if config.neutral_talk else None,
        }
    if restricted := restrictions(ModelStore(config.store), [start] if start else []):
        extra["restricted"] = restricted
    return [Plan(config.loop(warm_up=WARM_UP), task, extra)]


def _mixture_task(
    config: AudioTrainConfig, sides: Sides, steps: int, weights: dict[str, Tensor] | None
) -> Task[mixture.MixtureBatch]:
    network = build_mixture(config.encoder, config.upper_blocks)
    if weights:
        network.load_state_dict(weights)
    data, bf16 = _mixture_data(network, config, sides)

    def validate(model: nn.Module) -> dict[str, float]:
        logs_NC = data.log_probabilities(cast(SpeechMixture, model), sides.held_out, bf16=bf16)
        return _figures(logs_NC.numpy(), sides.held_out_sounds.examples)

    return mixture.task(network, data, config.batch_size, steps, validate)


def _mixture_data(network: SpeechMixture, config: AudioTrainConfig, sides: Sides) -> tuple[MixtureData, bool]:
    """Return the data with the activations of the network's trunk, and whether bf16 is used."""
    bf16 = bf16_is_faster(torch.device("cpu")) if config.bf16 is None else config.bf16
    cached = load_or_extract(network.trunk, sides.sounds, 1 + config.copies, config.cache, bf16=bf16)
    return MixtureData(sides, cached), bf16


def _online_task(
    config: AudioTrainConfig, sides: Sides, steps: int, weights: dict[str, Tensor] | None
) -> Task[AudioBatch]:
    """Return the problem of training an encoder or a CNN on sounds that are augmented at each step."""
    network, groups = build_network(config.architecture)
    if weights:
        network.load_state_dict(weights)
    sounds, valid = sides.training_sounds, sides.held_out_sounds
    targets_NC = build_targets(sounds, config.teacher, config.held_out_fold)

    def validate(model: nn.Module) -> dict[str, float]:
        predictor = VoicePredictor(cast(VoiceNetwork, model), 1.0, torch.device("cpu"))
        return _figures(predict_log_probabilities(predictor, valid), valid.examples)

    return Task(
        model=network,
        steps=steps,
        batches=lambda epoch: batches(sounds, targets_NC, config.batch_size, steps, network.config.frames),
        loss=loss,
        validate=validate,
        groups=groups,
    )


def _figures(logs_NC: NDArray[np.float32], examples: Sequence[Example]) -> dict[str, float]:
    """Return accuracy and UAR of each held-out part, and the mean UAR, by which a study chooses."""
    parts = evaluate(logs_NC, examples, resamples=1)
    figures = {f"{name}/{key}": part[key] for name, part in parts.items() for key in ("accuracy", "uar")}
    return figures | selection_figure([part["uar"] for part in parts.values()])


def space(trial: Any, config: AudioTrainConfig) -> dict[str, Any]:
    """Return architecture, batch size and optimiser of a trial."""
    return {
        "architecture": trial.suggest_categorical("architecture", ["speech_encoder", "audio_cnn"]),
        "batch_size": trial.suggest_categorical("batch", [16, 32, 64]),
        **optimizer_space(trial, 2e-4, 5e-3),
    }


def trained_network(run: Path, frozen_share: float | None = None) -> VoiceNetwork:
    """Return the network of a run in half precision, as the store keeps it.

    `frozen_share`: weight of a mixture's perceptron, if another one than in training.
    """
    settings = run_settings(run)
    config = settings["config"] | ({} if frozen_share is None else {"frozen_share": frozen_share})
    network = cast(VoiceNetwork, build(settings["architecture"], config))
    network.load_state_dict(averaged_weights(run))
    return network.half().float()


def held_out(config: AudioTrainConfig, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
    """Return the outputs of the run, as it is served; of a mixture from the cached activations of its trunk."""
    settings = run_settings(config.out)
    config = _as_trained(config)
    sides = read_sides(config, settings["fold"])
    rows = [row for row in sides.held_out if sides.sounds.examples[row].split in splits]
    network = trained_network(config.out, config.frozen_share)
    if isinstance(network, SpeechMixture):
        data, bf16 = _mixture_data(network, replace(config, copies=0), sides)
        logs_NC = data.log_probabilities(network, rows, bf16=bf16)
    else:
        predictor = VoicePredictor(network, 1.0, torch.device("cpu"))
        logs_NC = torch.from_numpy(predict_log_probabilities(predictor, sides.sounds.select(rows)))
    return HeldOut(logs_NC, [sides.sounds.examples[row] for row in rows])


def _as_trained(config: AudioTrainConfig) -> AudioTrainConfig:
    """Return the configuration with the data that the run in `--out` was trained on."""
    settings = run_settings(config.out)
    talk = settings.get("neutral_talk")
    return replace(config, leave_out=tuple(settings.get("left_out", ())), neutral_talk=Path(talk) if talk else None)


def publish(config: AudioTrainConfig, temperature: float, folds: OutOfFold | None = None) -> str:
    """Evaluate the run in `--out`, and write the next version into `--store`."""
    outputs = held_out(config)
    served = (outputs.logits_NC / temperature).log_softmax(-1).numpy()
    metrics = metrics_with_folds(evaluate(served, outputs.examples), folds)
    network = trained_network(config.out, config.frozen_share)
    description = _describe(config, network, temperature, metrics)
    text = _card(description, listed=config.data.is_file())
    return ModelStore(config.store).publish(description, network.state_dict(), card=text)


def _describe(
    config: AudioTrainConfig, network: VoiceNetwork, temperature: float, metrics: dict[str, Any]
) -> ModelDescription:
    settings = run_settings(config.out)
    architecture, fold, listed = settings["architecture"], settings["fold"], config.data.is_file()
    config = _as_trained(config)
    return ModelDescription(
        name=config.name if config.name != "audio" or architecture in STARTED else "audio-cnn",
        architecture=architecture,
        config=config_to_dict(network.config),
        labels=EMOTIONS,
        preprocessing={
            "sample_rate": SAMPLE_RATE,
            "features": "80 log-mel bands, level equalised, silence trimmed",
            "held_out_fold": fold,
        },
        temperature=temperature,
        metrics=metrics,
        data=training_sets(read_sides(config, fold).training_sounds.examples),
        starts=_starts(settings),
        command=_command(config.out) + _share_words(config),
        licence=licence_of(
            config, LICENCE_OF_ITS_DATA if listed else DATA_RESTRICTIONS, settings.get("restricted", [])
        ),
    )


def _starts(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return the pretrained weights that a run began with, or that its teacher began with."""
    if settings["architecture"] in STARTED:
        return (_start_of(settings),)
    if "taught_by" not in settings:
        return ()
    teacher = Path(settings["taught_by"])
    teacher = teacher if (teacher / HISTORY).exists() else teacher / "fold-0"
    return (TEACHER.format(_start_of(run_settings(teacher))),)


def _start_of(settings: dict[str, Any]) -> str:
    """Return the encoder that a run of an architecture in `STARTED` began with."""
    is_mixture = settings["architecture"] == "speech_mixture"
    return (MIXTURE_STARTS[settings.get("encoder", "base")].start if is_mixture else TINY).title


def _share_words(config: AudioTrainConfig) -> str:
    return "" if config.frozen_share is None else f" --frozen-share {config.frozen_share:g}"


def _command(run: Path) -> str:
    """Return the command of the run, after the command of the run that it started from."""
    settings = run_settings(run)
    loop, fold, start = settings["loop"], settings["fold"], settings.get("start")
    left_out = settings.get("left_out", [])
    earlier_run = Path(start) if start and Path(start).is_dir() else None
    command = f"python -m ml train audio --architecture {settings['architecture']}"
    command += f" --leave-out {' '.join(left_out)}" if left_out else ""
    command += " --all-speakers" if fold is None and not left_out else "" if fold is None else f" --fold {fold}"
    if "copies" in settings:
        command += f" --encoder {settings.get('encoder', 'base')} --upper-blocks {settings['config']['upper']}"
        command += f" --copies {settings['copies']}"
    command += " --neutral-talk FOLDER" if settings.get("neutral_talk") else ""
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
            *([HEARD_ALL] if description.preprocessing["held_out_fold"] is None and not listed else []),
            "The temperature was fitted on the held-out speakers that the figures are about.",
        ],
    )

"""Training and publishing of the vocal bursts, and their cross-validation by speaker."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ml.errors import InvalidManifest
from ml.networks.bursts import BurstConfig, BurstNet
from ml.registry import ModelDescription, ModelStore
from ml.training.loop import LoopConfig, Task, averaged_weights, fit, run_settings
from ml.training.recipes.bursts.config import BurstTrainConfig
from ml.training.recipes.bursts.data import FOLDS, Clip, Mixer, read_clips
from ml.training.recipes.bursts.figures import HeardClip, burst_card, burst_figures, choose_thresholds
from ml.training.recipes.recipe import Plan, licence_of
from ml.vocabulary import BURSTS

config_type = BurstTrainConfig
FOLDS_FILE = "folds.json"
POSITIVE_WEIGHT = 2.0
"""Weight of a step with a burst in the loss."""
MEASURED_SPEECH = 400
"""Utterances of each held-out fold that are heard after each epoch."""
CONTEXT_FRAMES = 128
"""Frames of silence around a clip when it is measured."""
DATA_RESTRICTIONS = "The recordings trained on forbid commercial use or derived works, some are for research alone."
LIMITS = (
    "Trained on some twenty acted clips of each kind, of one collection: real laughs and cries differ more.",
    "Groans are learnt from moans, gasps from panting, sniffs from blown noses.",
    "Screams of fear and shouted words are hard to tell apart, and so are soft laughs and breathing.",
)
logger = logging.getLogger(__name__)

Batch = tuple[Tensor, Tensor]


def plans(config: BurstTrainConfig) -> list[Plan]:
    """Return the run on all speakers."""
    return [_plan(config, read_clips(config.data, config.cache), None)]


def _plan(config: BurstTrainConfig, clips: Sequence[Clip], fold: int | None) -> Plan:
    """Return the run without the speakers of a fold."""
    torch.set_num_threads(config.threads)
    own = [clip for clip in clips if clip.fold != fold]
    mixer = Mixer([clip for clip in own if clip.label != "speech"], [clip for clip in own if clip.label == "speech"])
    network = BurstNet(BurstConfig(hidden=config.hidden))
    task: Task[Batch] = Task(
        model=network,
        steps=config.steps,
        batches=lambda _: mixer.batches(config.batch_size, config.steps),
        loss=_loss,
        validate=lambda _: {},
    )
    loop = LoopConfig(
        config.epochs, config.learning_rate, weight_decay=0.05, ema_decay=0.99, seed=config.seed, optimizer="adamw"
    )
    extra = {"architecture": "vocal_bursts", "config": asdict(network.config), "fold": fold, "steps": config.steps}
    return Plan(loop, task, extra, "." if fold is None else f"fold-{fold}")


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    powers, targets = batch
    logits = model(powers)
    weight = torch.full((len(BURSTS),), POSITIVE_WEIGHT, device=logits.device)
    return binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)


def open_run(folder: Path) -> BurstNet:
    """Return the network of a run. Raises InvalidManifest if no epoch is finished."""
    values: dict[str, Any] = run_settings(folder)["config"]
    network = BurstNet(BurstConfig(**values | {"widths": tuple(values["widths"])})).eval()
    network.load_state_dict(averaged_weights(folder))
    return network


@torch.inference_mode()
def hear(network: BurstNet, clip: Clip) -> NDArray[np.float32]:
    """Return the probabilities [S, 9] of a clip, with silence around it."""
    margin = ((CONTEXT_FRAMES, CONTEXT_FRAMES + -len(clip.powers) % 8), (0, 0))
    powers = torch.from_numpy(np.pad(clip.powers.astype(np.float32), margin))
    return np.asarray(network(powers.unsqueeze(0))[0].sigmoid().numpy())


def cross_validate(config: BurstTrainConfig, folds: int = FOLDS) -> dict[str, Any]:
    """Train `folds` networks, each without the speakers of a fold, and return the figures of what each of them hears of
    those. Thresholds and figures are written to `folds.json` in `config.out`, whose runs are resumed."""
    if folds != FOLDS:
        raise InvalidManifest(f"bursts are measured in {FOLDS} folds")
    clips = read_clips(config.data, config.cache)
    heard: list[HeardClip] = []
    for fold in range(FOLDS):
        plan = _plan(config, clips, fold)
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)
        network = open_run(config.out / plan.folder)
        heard += [HeardClip(clip, hear(network, clip)) for clip in clips if clip.fold == fold]
        logger.info("fold %d: %d clips heard", fold, len(heard))
    thresholds = choose_thresholds(heard)
    figures = {"thresholds": thresholds, **burst_figures(heard, thresholds)}
    (config.out / FOLDS_FILE).write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def publish(config: BurstTrainConfig) -> str:
    """Add the run in `config.out` to the model store with the thresholds of the folds, and return its reference."""
    if config.folds is None:
        raise InvalidManifest("the thresholds of bursts are those of --folds")
    figures = json.loads(config.folds.read_text())
    thresholds, network, settings = figures.pop("thresholds"), open_run(config.out), run_settings(config.out)
    clips = [clip for clip in read_clips(config.data, config.cache) if clip.fold != settings["fold"]]
    names = [f"{clip.dataset}: {'speech' if clip.label == 'speech' else 'bursts and mouth sounds'}" for clip in clips]
    loop = settings["loop"]
    description = ModelDescription(
        name=config.name,
        architecture="vocal_bursts",
        config=settings["config"],
        labels=BURSTS,
        preprocessing={"bands": "64 mel bands of 10 ms, 60–7600 Hz", "step": "80 ms", "thresholds": thresholds},
        metrics=figures,
        data=tuple(f"{name}: {names.count(name):,} recordings" for name in sorted(set(names))),
        command=f"python -m ml train bursts --epochs {loop['epochs']} --steps {settings['steps']}"
        f" --learning-rate {loop['learning_rate']} --hidden {settings['config']['hidden']}"
        + ("" if settings["fold"] is None else f" (without the speakers of fold {settings['fold']})"),
        licence=licence_of(config, DATA_RESTRICTIONS),
    )
    return ModelStore(config.store).publish(description, network.state_dict(), burst_card(description, LIMITS))

"""The one training loop: seeded, OneCycle over AdamW or SGD, averaged weights, bf16, resumable at every epoch.

It trains on the GPU where there is one; what it writes is read on a CPU. Everything random in an epoch is drawn after
the generators are seeded from (seed, epoch). A run that is killed and started again therefore repeats the epoch it was
in and ends with the same weights as one that was never stopped.
"""

import copy
import json
import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.inference.pipeline.bundle import pick_device
from ml.memory import keep_heap
from ml.training.devices import batch_to_device, bf16_is_faster, on_cpu

logger = logging.getLogger(__name__)

ADAMW, SGD = OPTIMIZERS = ("adamw", "sgd")
MOMENTUM = 0.9
COUPLED_DECAY = 0.01
"""SGD adds the decay to gradients, whose rate is larger: it takes this share of AdamW's."""
CHECKPOINT = "checkpoint.pt"
HISTORY = "history.json"

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopConfig:
    """`learning_rate` is the peak of the cycle; `warm_up` the share of all steps before it.

    `optimizer`: one of OPTIMIZERS; SGD with Nesterov's momentum.

    `ema_decay` is the decay of the averaged weights, lower in the first steps: min(decay, (1 + t) / (10 + t)).
    `bf16`: whether forward passes run in it; null: where it pays on the machine that the run begins on.
    """

    epochs: int
    learning_rate: float
    weight_decay: float = 0.05
    warm_up: float = 0.3
    ema_decay: float = 0.999
    clip_norm: float = 5.0
    bf16: bool | None = False
    seed: int = 0
    optimizer: str = ADAMW


@dataclass(frozen=True)
class Task(Generic[Batch]):
    """What a recipe gives to the loop.

    `batches(epoch)` yields exactly `steps` batches; it may draw from the global generators of torch, numpy and random,
    which are seeded before it is called; they are moved to where the model is trained. `validate` is given the averaged
    network in eval mode, on the CPU. `groups` are
    AdamW parameter groups, in which `scale` multiplies the learning rate; by default all parameters, with no decay of
    biases and norms. `best_by` names the figure by which the best epoch's averaged weights are the run's result; by
    default the last epoch's are.
    """

    model: nn.Module
    steps: int
    batches: Callable[[int], Iterable[Batch]]
    loss: Callable[[nn.Module, Batch], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]
    groups: list[dict[str, Any]] | None = None
    best_by: str | None = None


def parameter_groups(model: nn.Module, weight_decay: float, scale: float = 1.0) -> list[dict[str, Any]]:
    """Two AdamW groups of the trainable parameters: matrices with decay, vectors (biases, norms) without."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay, "scale": scale},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0, "scale": scale},
    ]


def seed_everything(seed: int, epoch: int = 0) -> None:
    """Seeds random, numpy and torch from (seed, epoch)."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


class WeightAverage:
    """An exponential moving average of a network's parameters and buffers."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.step = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.step += 1
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        current = model.state_dict()
        for name, averaged in self.model.state_dict().items():
            if averaged.is_floating_point():
                averaged.lerp_(current[name], 1 - decay)
            else:
                averaged.copy_(current[name])


def fit(config: LoopConfig, task: Task[Batch], folder: Path, extra: dict[str, Any] | None = None) -> nn.Module:
    """Trains, or goes on from the checkpoint in `folder`, and returns the averaged network of its result in eval mode.

    Writes a checkpoint and `history.json` after every epoch, and TensorBoard scalars. `extra` (JSON values) is kept
    with the checkpoint: what else the run depends on. Raises InvalidManifest when the checkpoint belongs to a run with
    another configuration, and when the loss is not finite.
    """
    device = pick_device()
    config = _decided(config, folder, device)
    run = _Run(config, task, folder, {"loop": asdict(config), **(extra or {})}, device)
    run.resume()
    with keep_heap(), SummaryWriter(str(folder / "tensorboard"), purge_step=run.epoch + 1) as writer:
        while run.epoch < config.epochs:
            figures = run.train_epoch()
            for name, value in figures.items():
                writer.add_scalar(name, value, run.epoch)
            writer.flush()
            logger.info("epoch %d: %s", run.epoch, {name: round(value, 4) for name, value in figures.items()})
    result = run.average.model.cpu()
    result.load_state_dict(averaged_weights(folder))
    return result


def _decided(config: LoopConfig, folder: Path, device: torch.device) -> LoopConfig:
    """With `bf16` as the run began, so that it ends as it would have; of a new run, by measurement."""
    if config.bf16 is not None:
        return config
    began = (folder / HISTORY).exists()
    return replace(config, bf16=run_settings(folder)["loop"]["bf16"] if began else bf16_is_faster(device))


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run so far: of its best epoch, or its last. Raises InvalidManifest without any."""
    try:
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidManifest(f"{folder} holds no run with a finished epoch: train first") from error
    return saved.get("best") or saved["average"]


def run_settings(folder: Path) -> dict[str, Any]:
    """The configuration that the run was started with: `{"loop": …, **extra}`. Raises InvalidManifest without a run."""
    return _told(folder)["settings"]


def history(folder: Path) -> list[dict[str, float]]:
    """The figures after each finished epoch. Raises InvalidManifest without a run."""
    return _told(folder)["epochs"]


def _told(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / HISTORY).read_text())
    except FileNotFoundError as error:
        raise InvalidManifest(f"{folder} holds no run: train first") from error


def _optimizer(config: LoopConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if config.optimizer == SGD:
        groups = [{**group, "weight_decay": group["weight_decay"] * COUPLED_DECAY} for group in groups]
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


class _Run(Generic[Batch]):
    def __init__(
        self, config: LoopConfig, task: Task[Batch], folder: Path, settings: dict[str, Any], device: torch.device
    ) -> None:
        self.config, self.task, self.folder, self.settings, self.device = config, task, folder, settings, device
        folder.mkdir(parents=True, exist_ok=True)
        self.epoch = 0
        self.epochs: list[dict[str, float]] = []
        task.model.to(device)
        groups = task.groups or parameter_groups(task.model, config.weight_decay)
        self.optimizer = _optimizer(config, groups)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=[config.learning_rate * group.get("scale", 1.0) for group in self.optimizer.param_groups],
            total_steps=config.epochs * task.steps,
            pct_start=config.warm_up,
        )
        self.average = WeightAverage(task.model, config.ema_decay)
        self.best: dict[str, Tensor] | None = None

    def resume(self) -> None:
        """Goes on from the checkpoint. The history is then as the run is: it may have been killed before that was
        written, and a run that is killed in its first epoch is told by its settings."""
        path = self.folder / CHECKPOINT
        if path.exists():
            self._load(torch.load(path, map_location="cpu", weights_only=True))
        self._write_history()

    def _load(self, saved: dict[str, Any]) -> None:
        if saved["settings"] != json.dumps(self.settings, sort_keys=True):
            raise InvalidManifest(f"{self.folder} holds a run with another configuration: choose another folder")
        self.task.model.load_state_dict(saved["model"])
        self.average.model.load_state_dict(saved["average"])
        self.average.step = saved["average_step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        self.epoch, self.epochs, self.best = saved["epoch"], saved["epochs"], saved.get("best")

    def train_epoch(self) -> dict[str, float]:
        start = time.monotonic()
        seed_everything(self.config.seed, self.epoch)
        loss = self._descend()
        if not math.isfinite(loss):
            raise InvalidManifest(f"the loss of epoch {self.epoch + 1} is not finite: lower the learning rate")
        figures = {"loss": loss, **self.task.validate(on_cpu(self.average.model))}
        self.epoch += 1
        self.epochs.append({"epoch": self.epoch, **figures, "seconds": time.monotonic() - start})
        self._keep_best()
        self._save()
        return figures

    def _descend(self) -> float:
        """One pass over the batches; their mean loss."""
        self.task.model.train()
        total = torch.zeros((), device=self.device)
        batches = tqdm(self.task.batches(self.epoch), f"epoch {self.epoch + 1}", self.task.steps, mininterval=10)
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bool(self.config.bf16)):
                loss = self.task.loss(self.task.model, batch_to_device(batch, self.device))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.task.model.parameters(), self.config.clip_norm)
            self.optimizer.step()
            self.scheduler.step()
            self.average.update(self.task.model)
            total += loss.detach()
        return float(total) / self.task.steps

    def _keep_best(self) -> None:
        name = self.task.best_by
        if name and self.epochs[-1][name] >= max(epoch[name] for epoch in self.epochs):
            self.best = copy.deepcopy(self.average.model.state_dict())

    def _save(self) -> None:
        saved = {
            "settings": json.dumps(self.settings, sort_keys=True),
            "model": self.task.model.state_dict(),
            "average": self.average.model.state_dict(),
            "average_step": self.average.step,
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "epochs": self.epochs,
        }
        staging = self.folder / "checkpoint.tmp"
        torch.save(saved, staging)
        os.replace(staging, self.folder / CHECKPOINT)
        self._write_history()

    def _write_history(self) -> None:
        staging = self.folder / "history.tmp"
        staging.write_text(json.dumps({"settings": self.settings, "epochs": self.epochs}, indent=2) + "\n")
        os.replace(staging, self.folder / HISTORY)

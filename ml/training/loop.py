"""Training loop of all recipes: seeded, OneCycle over AdamW or SGD, averaged weights, bf16, resumable at every epoch.

It trains on the GPU if there is one; its files can be read on a CPU. The random generators are seeded from (seed,
epoch) before each epoch. A run that is killed and started again therefore repeats the epoch that it was in, and ends
with the same weights as a run that was never stopped.
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
from torch.optim.swa_utils import PARAM_LIST as ParamList
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ml.errors import InvalidManifest
from ml.inference.pipeline.bundle import pick_device
from ml.memory import keep_heap
from ml.training.devices import batch_to_device, bf16_is_faster, on_cpu

logger = logging.getLogger(__name__)

ADAMW, SGD = OPTIMIZERS = ("adamw", "sgd")
MOMENTUM = 0.9
SGD_DECAY_SCALE = 0.01
"""Weight decay of SGD as a share of AdamW's: SGD adds it to the gradients, and has a higher learning rate."""
CHECKPOINT = "checkpoint.pt"
HISTORY = "history.json"

BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the loop.

    `learning_rate` is the peak of the cycle; `warm_up` the share of all steps before it. `optimizer`: one of
    OPTIMIZERS; SGD has Nesterov's momentum. `ema_decay` is the decay of the averaged weights, lower in the first steps:
    min(decay, (1 + t) / (10 + t)). `bf16`: whether forward passes run in it; None: if it is faster on the machine that
    the run begins on.
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
class Task(Generic[BatchT]):
    """Problem that a recipe passes to the loop.

    `batches(epoch)` yields exactly `steps` batches, which the loop moves to the device of the model; it may draw from
    the global generators of torch, numpy and random, which are seeded before it is called. `validate` gets the averaged
    network in eval mode, on the CPU. `groups` are AdamW parameter groups, in which `scale` multiplies the learning
    rate; by default all parameters, without decay of biases and norms. `best_by` names the figure that chooses the
    epoch with the weights of the run's result; by default it is the last epoch.
    """

    model: nn.Module
    steps: int
    batches: Callable[[int], Iterable[BatchT]]
    loss: Callable[[nn.Module, BatchT], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]
    groups: list[dict[str, Any]] | None = None
    best_by: str | None = None


def parameter_groups(model: nn.Module, weight_decay: float, scale: float = 1.0) -> list[dict[str, Any]]:
    """Return two AdamW groups of the trainable parameters: matrices with decay, vectors (biases, norms) without."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay, "scale": scale},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0, "scale": scale},
    ]


def seed_everything(seed: int, epoch: int = 0) -> None:
    """Seed random, numpy and torch from (seed, epoch)."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)


class WeightAverage(AveragedModel):
    """Exponential moving average of a network's parameters and buffers; integer buffers are copied."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=self._average, use_buffers=True)
        self.decay = decay
        self.steps = 0
        self.eval().requires_grad_(False)

    @property
    def steps(self) -> int:
        """Number of updates so far."""
        return int(self.n_averaged) - 1

    @steps.setter
    def steps(self, count: int) -> None:
        # The initial weights count as the first model: torch would copy, not average, at the first update.
        self.n_averaged.fill_(count + 1)

    @torch.no_grad()
    def _average(self, averaged: ParamList, current: ParamList, _: Tensor | int) -> None:
        """Update tensors of one type and device in place."""
        if averaged[0].is_floating_point():
            count = int(self.n_averaged)  # this counter is on the CPU: reading it does not wait for a GPU
            torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + count) / (10 + count)))
        else:
            torch._foreach_copy_(averaged, current)


def fit(config: LoopConfig, task: Task[BatchT], folder: Path, extra: dict[str, Any] | None = None) -> nn.Module:
    """Train, or resume from the checkpoint in `folder`. Return the averaged network of the result in eval mode.

    A checkpoint, `history.json` and TensorBoard scalars are written after every epoch. `extra` (JSON values) is saved
    with the checkpoint: whatever else the run depends on. Raises InvalidManifest if the checkpoint belongs to a run
    with another configuration, and if the loss is not finite.
    """
    device = pick_device()
    config = _choose_precision(config, folder, device)
    run = _Run(config, task, folder, {"loop": asdict(config), **(extra or {})}, device)
    run.resume()
    with keep_heap(), SummaryWriter(str(folder / "tensorboard"), purge_step=run.epoch + 1) as writer:
        while run.epoch < config.epochs:
            figures = run.train_epoch()
            for name, value in figures.items():
                writer.add_scalar(name, value, run.epoch)
            writer.flush()
            logger.info("epoch %d: %s", run.epoch, {name: round(value, 4) for name, value in figures.items()})
    result = run.average.module.cpu()
    result.load_state_dict(averaged_weights(folder))
    return result


def _choose_precision(config: LoopConfig, folder: Path, device: torch.device) -> LoopConfig:
    """Return the settings with `bf16` decided: as the run began, or by measurement for a new run."""
    if config.bf16 is not None:
        return config
    has_begun = (folder / HISTORY).exists()
    return replace(config, bf16=run_settings(folder)["loop"]["bf16"] if has_begun else bf16_is_faster(device))


def averaged_weights(folder: Path) -> dict[str, Tensor]:
    """Return the averaged weights of a run so far: of its best epoch, or its last.

    Raises InvalidManifest if no epoch is finished.
    """
    try:
        saved = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidManifest(f"{folder} holds no run with a finished epoch: train first") from error
    return saved.get("best") or saved["average"]


def run_settings(folder: Path) -> dict[str, Any]:
    """Return the settings that the run was started with: `{"loop": …, **extra}`.

    Raises InvalidManifest if the folder has no run.
    """
    return _read_history(folder)["settings"]


def history(folder: Path) -> list[dict[str, float]]:
    """Return the figures of each finished epoch. Raises InvalidManifest if the folder has no run."""
    return _read_history(folder)["epochs"]


def _read_history(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / HISTORY).read_text())
    except FileNotFoundError as error:
        raise InvalidManifest(f"{folder} holds no run: train first") from error


def _optimizer(config: LoopConfig, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    if config.optimizer == SGD:
        groups = [{**group, "weight_decay": group["weight_decay"] * SGD_DECAY_SCALE} for group in groups]
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


class _Run(Generic[BatchT]):
    def __init__(
        self, config: LoopConfig, task: Task[BatchT], folder: Path, settings: dict[str, Any], device: torch.device
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
        """Load the checkpoint, if there is one, and write the history.

        The run may have been killed between checkpoint and history; and a run that is killed in its first epoch needs
        the settings in its history to be resumed.
        """
        path = self.folder / CHECKPOINT
        if path.exists():
            self._load(torch.load(path, map_location="cpu", weights_only=True))
        self._write_history()

    def _load(self, saved: dict[str, Any]) -> None:
        if saved["settings"] != json.dumps(self.settings, sort_keys=True):
            raise InvalidManifest(f"{self.folder} holds a run with another configuration: choose another folder")
        self.task.model.load_state_dict(saved["model"])
        self.average.module.load_state_dict(saved["average"])
        self.average.steps = saved["average_step"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])
        self.epoch, self.epochs, self.best = saved["epoch"], saved["epochs"], saved.get("best")

    def train_epoch(self) -> dict[str, float]:
        start = time.monotonic()
        seed_everything(self.config.seed, self.epoch)
        loss = self._train_batches()
        if not math.isfinite(loss):
            raise InvalidManifest(f"the loss of epoch {self.epoch + 1} is not finite: lower the learning rate")
        figures = {"loss": loss, **self.task.validate(on_cpu(self.average.module))}
        self.epoch += 1
        self.epochs.append({"epoch": self.epoch, **figures, "seconds": time.monotonic() - start})
        self._keep_best()
        self._save()
        return figures

    def _train_batches(self) -> float:
        """Train on all batches once. Return their mean loss."""
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
            self.average.update_parameters(self.task.model)
            total += loss.detach()
        return float(total) / self.task.steps

    def _keep_best(self) -> None:
        name = self.task.best_by
        if name and self.epochs[-1][name] >= max(epoch[name] for epoch in self.epochs):
            self.best = copy.deepcopy(self.average.module.state_dict())

    def _save(self) -> None:
        saved = {
            "settings": json.dumps(self.settings, sort_keys=True),
            "model": self.task.model.state_dict(),
            "average": self.average.module.state_dict(),
            "average_step": self.average.steps,
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

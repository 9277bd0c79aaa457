"""The shared training loop: resuming, averaging, groups."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.errors import InvalidManifest
from ml.training import loop
from ml.training.loop import (
    LoopConfig,
    Task,
    WeightAverage,
    averaged_weights,
    fit,
    history,
    parameter_groups,
    run_settings,
    seed_everything,
)

CONFIG = LoopConfig(epochs=3, learning_rate=0.01, ema_decay=0.9)


class Killed(Exception):
    pass


def make_task(kill_in_epoch: int | None = None) -> Task[tuple[Tensor, Tensor]]:
    """A toy problem with dropout and batch norm: random state and buffers must survive a resume."""
    seed_everything(7)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(5):
            if epoch == kill_in_epoch and step == 3:
                raise Killed
            values = torch.randn(16, 4)
            yield values, (values.sum(1) > 0).long()

    def loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(network(batch[0]), batch[1])

    def validate(network: nn.Module) -> dict[str, float]:
        assert not network.training
        return {"norm": float(sum(p.square().sum() for p in network.parameters()))}

    return Task(model, 5, batches, loss, validate)


def test_fit_killed_run_ends_like_a_whole_one(tmp_path: Path) -> None:
    whole = fit(CONFIG, make_task(), tmp_path / "whole")
    with pytest.raises(Killed):
        fit(CONFIG, make_task(kill_in_epoch=1), tmp_path / "killed")
    resumed = fit(CONFIG, make_task(), tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    losses = [[epoch["loss"] for epoch in history(tmp_path / run)] for run in ("whole", "killed")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_fit_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(CONFIG, make_task(), tmp_path)
    again = fit(CONFIG, make_task(kill_in_epoch=0), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_fit_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    fit(CONFIG, make_task(), tmp_path, extra={"data": "a"})
    with pytest.raises(InvalidManifest, match="another configuration"):
        fit(CONFIG, make_task(), tmp_path, extra={"data": "b"})
    assert run_settings(tmp_path)["data"] == "a"
    assert json.loads((tmp_path / "history.json").read_text())["settings"]["loop"]["epochs"] == 3


def test_averaged_weights_equal_the_returned_model(tmp_path: Path) -> None:
    model = fit(CONFIG, make_task(), tmp_path)
    saved = averaged_weights(tmp_path)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_average_update_follows_weights_and_copies_counters() -> None:
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(4)
    average.update_parameters(model)
    decay = min(0.5, 2 / 11)
    assert float(average.module.weight) == pytest.approx(1 * decay + 3 * (1 - decay))
    assert int(average.module.num_batches_tracked) == 4


def test_average_of_many_updates_equals_the_formula_bit_by_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    average = WeightAverage(model, decay=0.9)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, 30):
        with torch.no_grad():
            for value in model.state_dict().values():
                value.copy_(torch.randn_like(value) if value.is_floating_point() else torch.tensor(step))
        average.update_parameters(model)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name].lerp_(value, 1 - min(0.9, (1 + step) / (10 + step)))
            else:
                expected[name].copy_(value)
    assert average.steps == 29 and not average.module.training
    assert all(torch.equal(value, expected[name]) for name, value in average.module.state_dict().items())


def test_checkpoint_has_the_keys_of_earlier_releases(tmp_path: Path) -> None:
    """Runs that an earlier release began are resumed: the average is a plain state dict, and a count of updates."""
    fit(CONFIG, make_task(), tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["average"].keys() == saved["model"].keys() == make_task().model.state_dict().keys()
    assert saved["average_step"] == CONFIG.epochs * 5


def test_parameter_groups_vectors_have_no_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    matrices, vectors = parameter_groups(model, weight_decay=0.1, scale=0.5)
    assert [p.ndim for p in matrices["params"]] == [2] and matrices["weight_decay"] == 0.1
    assert [p.ndim for p in vectors["params"]] == [1] and vectors["weight_decay"] == 0.0


def test_fit_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    task = make_task()
    broken = Task(
        task.model, 5, task.batches, lambda network, batch: network(batch[0]).sum() * torch.nan, task.validate
    )
    with pytest.raises(InvalidManifest, match="the loss of epoch 1 is not finite"):
        fit(CONFIG, broken, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_fit_loss_that_is_not_finite_is_not_validated(tmp_path: Path) -> None:
    def validate(_: nn.Module) -> dict[str, float]:
        raise AssertionError("figures of no numbers")

    task = make_task()
    broken = replace(task, loss=lambda network, batch: network(batch[0]).sum() * torch.inf, validate=validate)
    with pytest.raises(InvalidManifest, match="not finite"):
        fit(CONFIG, broken, tmp_path)


def test_run_readers_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for read in (run_settings, history, averaged_weights):
        with pytest.raises(InvalidManifest, match="train first"):
            read(tmp_path)


@pytest.mark.parametrize("pays", [True, False])
def test_fit_run_killed_in_its_first_epoch_keeps_its_precision(
    pays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = replace(CONFIG, bf16=None)
    monkeypatch.setattr(loop, "bf16_is_faster", lambda _: pays)
    with pytest.raises(Killed):
        fit(auto, make_task(kill_in_epoch=0), tmp_path)
    assert history(tmp_path) == []
    monkeypatch.setattr(loop, "bf16_is_faster", lambda _: not pays)
    fit(auto, make_task(), tmp_path)
    assert run_settings(tmp_path)["loop"]["bf16"] is pays


def test_fit_missing_history_is_written_from_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: Path, target: Path) -> None:
        if target.name == "history.json" and (tmp_path / "checkpoint.pt").exists():
            raise Killed
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(Killed):
            fit(CONFIG, make_task(), tmp_path)
    assert history(tmp_path) == []
    with pytest.raises(Killed):
        fit(CONFIG, make_task(kill_in_epoch=1), tmp_path)
    assert [epoch["epoch"] for epoch in history(tmp_path)] == [1]


def test_fit_resume_keeps_all_epochs_of_the_curves(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit(CONFIG, make_task(kill_in_epoch=2), tmp_path)
    fit(CONFIG, make_task(), tmp_path)
    curves = EventAccumulator(str(tmp_path / "tensorboard"), purge_orphaned_data=True).Reload()
    assert [scalar.step for scalar in curves.Scalars("loss")] == [1, 2, 3]


@pytest.mark.parametrize("bf16", [False, True])
def test_fit_equals_the_plain_steps_bit_by_bit(bf16: bool, tmp_path: Path) -> None:
    """Bit by bit: nothing is copied, moved or drawn beside."""
    config = replace(CONFIG, bf16=bf16)
    found = fit(config, make_task(), tmp_path).state_dict()
    task = make_task()
    groups = parameter_groups(task.model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.01, 0.01], config.epochs * task.steps)
    average = WeightAverage(task.model, config.ema_decay)
    for epoch in range(config.epochs):
        seed_everything(config.seed, epoch)
        for batch in task.batches(epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = task.loss(task.model, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(task.model.parameters(), config.clip_norm)
            optimizer.step()
            scheduler.step()
            average.update_parameters(task.model)
    assert all(torch.equal(value, found[name]) for name, value in average.module.state_dict().items())


def test_fit_resume_keeps_the_best_epoch(tmp_path: Path) -> None:
    seen: list[dict[str, Tensor]] = []

    def validate(network: nn.Module) -> dict[str, float]:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"score": (0.1, 0.9, 0.5)[len(seen) - 1]}

    with pytest.raises(Killed):
        fit(CONFIG, replace(make_task(kill_in_epoch=2), validate=validate, best_by="score"), tmp_path)
    model = fit(CONFIG, replace(make_task(), validate=validate, best_by="score"), tmp_path)
    assert len(seen) == 3
    for found in (model.state_dict(), averaged_weights(tmp_path)):
        assert all(torch.equal(value, found[name]) for name, value in seen[1].items())

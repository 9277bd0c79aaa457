"""The shared training loop: resuming, averaging, groups."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.training.loop import (
    Average,
    LoopConfig,
    Task,
    averaged_weights,
    bf16_pays,
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


def test_a_run_killed_within_an_epoch_ends_like_one_that_never_stopped(tmp_path: Path) -> None:
    whole = fit(CONFIG, make_task(), tmp_path / "whole")
    with pytest.raises(Killed):
        fit(CONFIG, make_task(kill_in_epoch=1), tmp_path / "killed")
    resumed = fit(CONFIG, make_task(), tmp_path / "killed")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    losses = [[epoch["loss"] for epoch in history(tmp_path / run)] for run in ("whole", "killed")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = fit(CONFIG, make_task(), tmp_path)
    again = fit(CONFIG, make_task(kill_in_epoch=0), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    fit(CONFIG, make_task(), tmp_path, extra={"data": "a"})
    with pytest.raises(ValueError, match="another configuration"):
        fit(CONFIG, make_task(), tmp_path, extra={"data": "b"})
    assert run_settings(tmp_path)["data"] == "a"
    assert json.loads((tmp_path / "history.json").read_text())["settings"]["loop"]["epochs"] == 3


def test_averaged_weights_are_those_that_fit_returns(tmp_path: Path) -> None:
    model = fit(CONFIG, make_task(), tmp_path)
    saved = averaged_weights(tmp_path)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_the_average_follows_the_weights_and_copies_counters() -> None:
    model = nn.BatchNorm1d(1)
    average = Average(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(3.0)
        model.num_batches_tracked.fill_(4)
    average.update(model)
    decay = min(0.5, 2 / 11)
    assert float(average.model.weight) == pytest.approx(1 * decay + 3 * (1 - decay))
    assert int(average.model.num_batches_tracked) == 4


def test_vectors_have_no_decay_and_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    matrices, vectors = parameter_groups(model, weight_decay=0.1, scale=0.5)
    assert [p.ndim for p in matrices["params"]] == [2] and matrices["weight_decay"] == 0.1
    assert [p.ndim for p in vectors["params"]] == [1] and vectors["weight_decay"] == 0.0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    task = make_task()
    broken = Task(
        task.model, 5, task.batches, lambda network, batch: network(batch[0]).sum() * torch.nan, task.validate
    )
    with pytest.raises(FloatingPointError):
        fit(CONFIG, broken, tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_bf16_is_decided_by_a_measurement() -> None:
    assert bf16_pays() in (True, False)


def test_the_best_epoch_is_kept_over_a_resume(tmp_path: Path) -> None:
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

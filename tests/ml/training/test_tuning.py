"""Studies of a toy recipe, whose parameters depend on each other and whose figures are known."""

import argparse
import csv
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch import nn

from ml.__main__ import main
from ml.training.config import TrainConfig
from ml.training.loop import LoopConfig, Task
from ml.training.options import add_options, from_args, option
from ml.training.recipes import recipe
from ml.training.recipes.recipe import CHOSEN_BY, Plan, optimizer_space
from ml.training.tuning import open_study

GOOD, BAD, FALLING = (0.5, 0.6, 0.7), (0.1, 0.2, 0.3), (0.9, 0.5, 0.4)


@dataclass(frozen=True, kw_only=True)
class ToyConfig(TrainConfig):
    out: Path = option(help="run", default=Path("run"))
    models: tuple[str, ...] = option(help="models", default=())
    fold: int | None = option(help="fold", default=None)
    epochs: int = option(help="epochs", default=2)
    served: bool = option(help="served", default=False)
    learning_rate: float = option(help="rate", default=0.1)
    widths: tuple[int, int] = option(help="widths", default=(1, 2))


class Toy:
    """`curves`: the validation figures of each trial in turn, the last for all that follow."""

    def __init__(self, curves: list[tuple[float, ...]], best_by: str | None = None) -> None:
        self.curves, self.best_by, self.began = curves, best_by, 0

    config_type = ToyConfig

    def space(self, trial: Any, config: ToyConfig) -> dict[str, Any]:
        width = trial.suggest_categorical("width", [3, 4])
        return {"widths": (width, 2 * width), **optimizer_space(trial, 1e-4, 1e-2)}

    def plans(self, config: ToyConfig) -> list[Plan]:
        curve = iter(self.curves[min(self.began, len(self.curves) - 1)])
        self.began += 1
        task = Task(
            model=nn.Linear(1, 1),
            steps=1,
            batches=lambda epoch: [torch.ones(1, 1)],
            loss=lambda model, batch: model(batch).square().mean(),
            validate=lambda _: {CHOSEN_BY: next(curve)} if self.curves[0] else {"test": 0.5},
            best_by=self.best_by,
        )
        return [Plan(LoopConfig(config.epochs, config.learning_rate, optimizer=config.optimizer), task, {})]


def study(toy: Toy, monkeypatch: pytest.MonkeyPatch, trials: int, *words: str) -> list[dict[str, str]]:
    """The rows of its table."""
    monkeypatch.setattr(recipe, "find", lambda _: toy)
    arguments = ["tune", "face", "--data", "my list.csv", "--epochs", "3", "--trials", str(trials), "--study", "study"]
    assert main([*arguments, *words]) == 0
    with Path("study/trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tune_plots_parameters_of_some_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = study(Toy([GOOD]), monkeypatch, 3)
    assert {row["optimizer"] for row in rows} == {"adamw", "sgd"}
    assert all(bool(row["sgd_rate"]) == (row["optimizer"] == "sgd") for row in rows)
    assert cv2.imread("study/parameters.png").std() > 1


@pytest.mark.slow
def test_tune_resumed_study_draws_new_parameters_and_prunes(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy([GOOD, GOOD, GOOD, GOOD, BAD, GOOD])
    for trials in (2, 4, 4):
        rows = study(toy, monkeypatch, trials)
        assert len(rows) == trials, "finished trials count"
    assert len({(row["adamw_rate"], row["sgd_rate"]) for row in rows}) == 4
    rows = study(toy, monkeypatch, 6)
    assert [row["state"] for row in rows] == ["complete"] * 4 + ["pruned", "complete"]
    assert toy.began == 6 and float(rows[4][CHOSEN_BY]) < 0.3, "not trained to its end"


@pytest.mark.parametrize(("best_by", "figure"), [(None, 0.4), (CHOSEN_BY, 0.9)])
def test_tune_scores_the_epoch_that_would_be_published(
    best_by: str | None, figure: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = study(Toy([FALLING], best_by), monkeypatch, 1)
    assert float(row[CHOSEN_BY]) == figure


def test_tune_without_validation_part_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy([()])
    monkeypatch.setattr(recipe, "find", lambda _: toy)
    assert main(["tune", "face", "--data", "my list.csv", "--trials", "9", "--study", "study"]) == 1
    assert "my list.csv has none" in capsys.readouterr().err
    assert toy.began == 1, "the next trial would have none either"


def test_best_command_repeats_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy([BAD, GOOD, BAD])
    rows = study(toy, monkeypatch, 3, "--models", "face@1", "a net", "--fold", "0", "--served")
    command = json.loads(Path("study/best.json").read_text())["command"]
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "ml", "train", "face"]
    parser = argparse.ArgumentParser()
    add_options(parser, ToyConfig)
    config = from_args(ToyConfig, parser.parse_args(words[5:]))
    assert (config.data, config.models, config.fold, config.epochs) == (Path("my list.csv"), ("face@1", "a net"), 0, 3)
    assert config.served and config.out == Path("run")
    assert config.optimizer == rows[1]["optimizer"]
    assert config.learning_rate == float(rows[1][f"{config.optimizer}_rate"]), "not rounded"
    assert config.widths == (int(rows[1]["width"]), 2 * int(rows[1]["width"]))


def test_tune_running_trial_of_a_killed_process_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("study/trial-0").mkdir(parents=True)
    open_study(Path("study")).ask()
    rows = study(Toy([GOOD]), monkeypatch, 1)
    assert [row["state"] for row in rows] == ["fail", "complete"] and not Path("study/trial-0").exists()

"""`python -m ml tune`: an Optuna study of one recipe, resumable, chosen on the validation part alone.

The study lies in a journal in `--study`; the same command goes on with it, and `--trials` counts all of its finished
trials. Trials that do worse than the median of the others at the same epoch are cut short.
"""

import argparse
import csv
import json
import logging
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from torch import nn

from ml.errors import AffectError, InvalidManifest
from ml.training.loop import fit, history
from ml.training.recipes import recipe
from ml.training.recipes.recipe import CHOSEN_BY, SUBJECTS, Plan

JOURNAL, TABLE, BEST = "journal.log", "trials.csv", "best.json"
_UNPRUNED = 4
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_OWN = ("run", "subject", "trials", "study", "out")
"""Arguments that tell of the study, not of what it trains."""


def parser(_: str = "tune") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml tune", description=__doc__)
    subjects = parser.add_subparsers(required=True)
    for subject in SUBJECTS:
        command = subjects.add_parser(subject)
        recipe.find(subject).add_arguments(command)
        command.add_argument("--trials", type=int, default=20, help="of the whole study")
        command.add_argument("--study", type=Path, default=Path("runs") / f"tune-{subject}", help="its folder")
        command.set_defaults(run=tune, subject=subject)
    return parser


def tune(args: argparse.Namespace) -> None:
    """Runs what is left of the study, and writes its table, its plots and the best command."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.study.mkdir(parents=True, exist_ok=True)
    study = open_study(args.study)
    end_killed(study, args.study)
    left = args.trials - sum(trial.state in _DONE for trial in study.trials)
    if left > 0:
        try:
            study.optimize(lambda trial: run_trial(trial, args), n_trials=left, catch=(AffectError,))
        except NothingToChooseBy:
            raise InvalidManifest(f"tuning chooses by a validation part: {args.data} has none") from None
    report(study, args)


class NothingToChooseBy(Exception):
    """No trial would ever have a figure."""


def open_study(folder: Path) -> optuna.Study:
    """The study in its folder, begun or gone on with: its sampler draws anew after the trials that there are."""
    study = optuna.create_study(
        study_name=folder.name,
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=1),
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    return study


def end_killed(study: optuna.Study, folder: Path) -> None:
    """One process works on a study: what still runs when another begins was killed. It counts as failed."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        shutil.rmtree(trial_folder(folder, trial.number), ignore_errors=True)


def trial_folder(folder: Path, number: int) -> Path:
    return folder / f"trial-{number}"


def run_trial(trial: optuna.Trial, args: argparse.Namespace) -> float:
    """The validation figure of the weights that the run would ship. Raises TrialPruned."""
    chosen = recipe.find(args.subject)
    changed = argparse.Namespace(**{**vars(args), **chosen.space(trial, args)})
    plan = chosen.plans(changed)[-1]
    folder = trial_folder(args.study, trial.number)
    try:
        fit(plan.settings, with_pruning(plan, trial).task, folder, plan.extra)
        return published_epoch(history(folder), plan.task.best_by)[CHOSEN_BY]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def published_epoch(epochs: Sequence[dict[str, float]], best_by: str | None) -> dict[str, float]:
    """The epoch whose weights are the run's result."""
    return max(epochs, key=lambda epoch: epoch[best_by]) if best_by else epochs[-1]


def with_pruning(plan: Plan, trial: optuna.Trial) -> Plan:
    """The plan with a validation that tells the trial, and stops it when it is not promising."""
    steps = count(1)

    def validate(model: nn.Module) -> dict[str, float]:
        told = plan.task.validate(model)
        if CHOSEN_BY not in told:
            raise NothingToChooseBy
        trial.report(told[CHOSEN_BY], step=next(steps))
        if trial.should_prune():
            raise optuna.TrialPruned
        return told

    return replace(plan, task=replace(plan.task, validate=validate))


def report(study: optuna.Study, args: argparse.Namespace) -> None:
    """`trials.csv`, `best.json` with the command that trains so, and PNG plots."""
    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    with (args.study / TABLE).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial", "state", CHOSEN_BY, *names])
        for trial in trials:
            told = trial.value if trial.value is not None else ""
            table.writerow([trial.number, trial.state.name.lower(), told, *(trial.params.get(n, "") for n in names)])
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    print(f"{len(trials)} trials, {len(complete)} to the end; {args.study / TABLE}")
    if not complete:
        return
    best = study.best_trial
    command = best_command(args, best.params)
    best_told = {"value": best.value, "params": best.params, "command": command}
    (args.study / BEST).write_text(json.dumps(best_told, indent=2) + "\n")
    _plot(study, args.study)
    print(f"best {best.value:.4f}: {command}")


def best_command(args: argparse.Namespace, params: dict[str, Any]) -> str:
    """The command that trains as a trial did: what the recipe's space gives, and what else is not as by default."""
    chosen = recipe.find(args.subject)
    parser = argparse.ArgumentParser()
    chosen.add_arguments(parser)
    space = chosen.space(optuna.trial.FixedTrial(params), args)
    others = vars(args).keys() - space.keys() - set(_OWN)
    changed = {
        name: value for name, value in vars(args).items() if name in others and value != parser.get_default(name)
    }
    told = {"data": args.data, **space, **changed}
    words = [word for name, value in told.items() for word in _words(name, value)]
    return shlex.join(["python", "-m", "ml", "train", args.subject, *words])


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag] if value else []
    parts = value if isinstance(value, tuple | list) else (value,)
    return [flag, *map(str, parts)]


def _plot(study: optuna.Study, folder: Path) -> None:
    """Each finished trial in turn, and each parameter against the figure."""
    from matplotlib.figure import Figure

    trials = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    progress = Figure(figsize=(6, 4), layout="constrained")
    axes = progress.add_subplot()
    axes.plot([trial.number for trial in trials], [trial.value or 0.0 for trial in trials], "o")
    axes.set(xlabel="trial", ylabel=f"validation figure ({CHOSEN_BY})")
    progress.savefig(folder / "history.png", dpi=120)
    names = sorted({name for trial in trials for name in trial.params})
    slices = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    for place, name in enumerate(names):
        axes = slices.add_subplot(1, len(names), place + 1)
        own = [trial for trial in trials if name in trial.params]
        told = [x if isinstance(x, int | float) else str(x) for x in (trial.params[name] for trial in own)]
        axes.plot(told, [trial.value or 0.0 for trial in own], "o")
        axes.set(xlabel=name)
        if name.endswith("_rate"):
            axes.set_xscale("log")
    slices.savefig(folder / "parameters.png", dpi=120)

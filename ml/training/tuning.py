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
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from torch import nn

from ml.errors import AffectError
from ml.training.loop import fit
from ml.training.recipes import recipe
from ml.training.recipes.recipe import CHOSEN_BY, SUBJECTS, Plan

JOURNAL, TABLE, BEST = "journal.log", "trials.csv", "best.json"
_UNPRUNED = 4
_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


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
    left = args.trials - sum(trial.state in _DONE for trial in study.trials)
    if left > 0:
        study.optimize(lambda trial: run_trial(trial, args), n_trials=left, catch=(AffectError, FloatingPointError))
    report(study, args)


def open_study(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    done = len(optuna.study.get_all_study_names(storage))
    return optuna.create_study(
        study_name=folder.name,
        storage=storage,
        direction="maximize",
        load_if_exists=bool(done),
        sampler=optuna.samplers.TPESampler(seed=done),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=1),
    )


def run_trial(trial: optuna.Trial, args: argparse.Namespace) -> float:
    """The best validation figure of any epoch. Raises TrialPruned."""
    chosen = recipe.find(args.subject)
    changed = argparse.Namespace(**{**vars(args), **chosen.space(trial, args)})
    plan = chosen.plans(changed)[-1]
    folder = args.study / f"trial-{trial.number}"
    figures: list[float] = []
    try:
        fit(plan.settings, watched(plan, trial, figures).task, folder, plan.extra)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return max(figures)


def watched(plan: Plan, trial: optuna.Trial, figures: list[float]) -> Plan:
    """The plan with a validation that tells the trial, and stops it when it is not promising."""

    def validate(model: nn.Module) -> dict[str, float]:
        told = plan.task.validate(model)
        figures.append(told[CHOSEN_BY])
        trial.report(told[CHOSEN_BY], step=len(figures))
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
    complete = [trial for trial in trials if trial.state is optuna.trial.TrialState.COMPLETE]
    print(f"{len(trials)} trials, {len(complete)} to the end; {args.study / TABLE}")
    if not complete:
        return
    best = study.best_trial
    command = f"python -m ml train {args.subject} --data {shlex.quote(str(args.data))} {_flags(args, best)}"
    best_told = {"value": best.value, "params": best.params, "command": command}
    (args.study / BEST).write_text(json.dumps(best_told, indent=2) + "\n")
    _plot(study, args.study)
    print(f"best {best.value:.4f}: {command}")


def _flags(args: argparse.Namespace, best: optuna.trial.FrozenTrial) -> str:
    """The arguments that the recipe's space gives for the best trial."""
    space: dict[str, Any] = recipe.find(args.subject).space(optuna.trial.FixedTrial(best.params), args)
    words: list[str] = []
    for name, value in space.items():
        parts = value if isinstance(value, tuple) else (value,)
        words += [
            f"--{name.replace('_', '-')}",
            *(f"{part:.6g}" if isinstance(part, float) else str(part) for part in parts),
        ]
    return " ".join(words)


def _plot(study: optuna.Study, folder: Path) -> None:
    """Each finished trial in turn, and each parameter against the figure."""
    from matplotlib.figure import Figure

    trials = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.COMPLETE]
    values = [trial.value or 0.0 for trial in trials]
    history = Figure(figsize=(6, 4), layout="constrained")
    axes = history.add_subplot()
    axes.plot([trial.number for trial in trials], values, "o")
    axes.set(xlabel="trial", ylabel=f"validation figure ({CHOSEN_BY})")
    history.savefig(folder / "history.png", dpi=120)
    names = sorted({name for trial in trials for name in trial.params})
    slices = Figure(figsize=(3.2 * len(names), 3.2), layout="constrained")
    for place, name in enumerate(names):
        axes = slices.add_subplot(1, len(names), place + 1)
        told = [x if isinstance(x, int | float) else str(x) for x in (trial.params[name] for trial in trials)]
        axes.plot(told, values, "o")
        axes.set(xlabel=name)
        if name.endswith("_rate"):
            axes.set_xscale("log")
    slices.savefig(folder / "parameters.png", dpi=120)

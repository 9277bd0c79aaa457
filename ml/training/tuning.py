"""`python -m ml tune`: an Optuna study of one recipe, resumable, that maximises a figure of the validation part.

The journal of the study is in the folder `--study`. The same command resumes it, and `--trials` counts all of its
finished trials. Trials that do worse than the median of the others at the same epoch are pruned.
"""

import argparse
import csv
import json
import logging
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from torch import nn

from ml.errors import AffectError, InvalidManifest
from ml.training.config import TrainConfig
from ml.training.loop import fit, history
from ml.training.options import add_options, changed_options, command_words, from_args, option
from ml.training.recipes import recipe
from ml.training.recipes.recipe import CHOSEN_BY, SUBJECTS, Plan, Subject

JOURNAL, TABLE, BEST = "journal.log", "trials.csv", "best.json"
_UNPRUNED_TRIALS = 4
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Options of `python -m ml tune`, in addition to those of the recipe."""

    trials: int = option(help="number of trials of the whole study", default=20)
    study: Path = option(help="folder of the study", default=Path("runs/tune"))


def parser(_: str = "tune") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml tune", description=__doc__)
    subjects = parser.add_subparsers(required=True)
    for subject in SUBJECTS:
        _add_subject(subjects.add_parser(subject), subject)
    return parser


def _add_subject(command: argparse.ArgumentParser, subject: Subject) -> None:
    config_type: type[TrainConfig] = recipe.find(subject).config_type
    add_options(command, config_type)
    add_options(command, StudyConfig)
    command.set_defaults(
        study=Path("runs") / f"tune-{subject}",
        run=lambda args: tune(subject, from_args(config_type, args), from_args(StudyConfig, args)),
    )


def tune(subject: Subject, config: TrainConfig, options: StudyConfig) -> None:
    """Run the missing trials of the study, and write its table, its plots and the best command."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.study.mkdir(parents=True, exist_ok=True)
    study = open_study(options.study)
    end_killed(study, options.study)
    missing = options.trials - sum(trial.state in _FINISHED for trial in study.trials)
    if missing > 0:
        try:
            study.optimize(
                lambda trial: run_trial(trial, subject, config, options.study), n_trials=missing, catch=(AffectError,)
            )
        except NoValidationData:
            raise InvalidManifest(f"tuning chooses by a validation part: {config.data} has none") from None
    report(study, subject, config, options.study)


class NoValidationData(Exception):
    """Error of a study without a validation part: no trial would have a figure."""


def open_study(folder: Path) -> optuna.Study:
    """Create or load the study in its folder. The seed of the sampler depends on the number of trials so far."""
    study = optuna.create_study(
        study_name=folder.name,
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=1),
    )
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    return study


def end_killed(study: optuna.Study, folder: Path) -> None:
    """Mark trials of a killed process as failed: only one process at a time works on a study."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        shutil.rmtree(trial_folder(folder, trial.number), ignore_errors=True)


def trial_folder(folder: Path, number: int) -> Path:
    return folder / f"trial-{number}"


def run_trial(trial: optuna.Trial, subject: Subject, config: TrainConfig, study: Path) -> float:
    """Train one trial. Return the validation figure of the weights that the run would publish. Raises TrialPruned."""
    chosen = recipe.find(subject)
    plan = chosen.plans(replace(config, **chosen.space(trial, config)))[-1]
    folder = trial_folder(study, trial.number)
    try:
        fit(plan.settings, with_pruning(plan, trial).task, folder, plan.extra)
        return published_epoch(history(folder), plan.task.best_by)[CHOSEN_BY]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def published_epoch(epochs: Sequence[dict[str, float]], best_by: str | None) -> dict[str, float]:
    """Return the figures of the epoch with the weights of the run's result."""
    return max(epochs, key=lambda epoch: epoch[best_by]) if best_by else epochs[-1]


def with_pruning(plan: Plan, trial: optuna.Trial) -> Plan:
    """Return the plan with a validation that reports to the trial, and stops it if it is not promising."""
    steps = count(1)

    def validate(model: nn.Module) -> dict[str, float]:
        figures = plan.task.validate(model)
        if CHOSEN_BY not in figures:
            raise NoValidationData
        trial.report(figures[CHOSEN_BY], step=next(steps))
        if trial.should_prune():
            raise optuna.TrialPruned
        return figures

    return replace(plan, task=replace(plan.task, validate=validate))


def report(study: optuna.Study, subject: Subject, config: TrainConfig, folder: Path) -> None:
    """Write `trials.csv`, `best.json` with the command of the best trial, and PNG plots."""
    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    with (folder / TABLE).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial", "state", CHOSEN_BY, *names])
        for trial in trials:
            value = trial.value if trial.value is not None else ""
            table.writerow([trial.number, trial.state.name.lower(), value, *(trial.params.get(n, "") for n in names)])
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    print(f"{len(trials)} trials, {len(complete)} to the end; {folder / TABLE}")
    if not complete:
        return
    best = study.best_trial
    command = best_command(subject, config, best.params)
    document = {"value": best.value, "params": best.params, "command": command}
    (folder / BEST).write_text(json.dumps(document, indent=2) + "\n")
    _plot(study, folder)
    print(f"best {best.value:.4f}: {command}")


def best_command(subject: Subject, config: TrainConfig, params: dict[str, Any]) -> str:
    """Return the command that trains like a trial: its parameters, and all other options without their default."""
    space = recipe.find(subject).space(optuna.trial.FixedTrial(params), config)
    best = replace(config, **space)
    names = dict.fromkeys(["data", *space, *changed_options(best)])
    words = command_words(best, [name for name in names if name != "out"])
    return shlex.join(["python", "-m", "ml", "train", subject, *words])


def _plot(study: optuna.Study, folder: Path) -> None:
    """Plot the figure by trial, and by each parameter."""
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
        values = [x if isinstance(x, int | float) else str(x) for x in (trial.params[name] for trial in own)]
        axes.plot(values, [trial.value or 0.0 for trial in own], "o")
        axes.set(xlabel=name)
        if name.endswith("_rate"):
            axes.set_xscale("log")
    slices.savefig(folder / "parameters.png", dpi=120)

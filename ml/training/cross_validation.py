"""Cross-validation: K networks of the recipe of a published one, each evaluated on speakers that it never heard.

Or a network for each corpus of voices, which is left out. The run of each fold has a folder of its own, and is
resumed. Confidences of a fold are divided by the temperature of the other folds, so that no example is calibrated on
itself.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.registry import Manifest
from ml.training.config import TrainConfig
from ml.training.datasets.audio_corpora import FOLDS, split_in_folds
from ml.training.datasets.example import Example, Split
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.evaluation import EvaluationReport, Readings
from ml.training.labelled_rows import LabelledRow
from ml.training.loop import fit
from ml.training.metrics import fit_temperature, softmax
from ml.training.options import ConfigT, add_options, from_args
from ml.training.recipes import recipe
from ml.training.recipes.recipe import HeldOut, Subject

FILE, CORPORA_FILE = "folds.json", "corpora.json"
OMITTED_OPTIONS = ("--start", "--teacher", "--taught-by", "--fold", "--all-speakers", "--leave-out")
"""Options of a recorded command that folds leave out.

A start or a teacher may have heard the speakers of a fold, and each fold leaves out other speakers.
"""
STOPPED = " (stopped after "


@dataclass(frozen=True)
class CrossValidation:
    """Result of all folds. `temperature`: fitted over the outputs of all folds."""

    report: EvaluationReport
    temperature: float

    @classmethod
    def from_parts(cls, parts: Sequence[HeldOut]) -> Self:
        """Return the result of the outputs of each run for what it left out."""
        return cls(EvaluationReport.from_readings(join_folds(parts)), _temperature(parts))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"temperature": self.temperature, **self.report.json()}, indent=2) + "\n")


def evaluate_folds(
    subject: Subject, published: Manifest, data: Path, count: int, out: Path, changes: Sequence[str]
) -> CrossValidation:
    """Train the missing ones of `count` runs below `out`, on a list with speakers or on collected voices.

    `changes`: command line words that change options of the recipe. Raises InvalidManifest if speakers are unknown.
    """
    configs = (
        fold_config(subject, published, data, fold, count, out / f"fold-{fold}", changes) for fold in range(count)
    )
    folds = CrossValidation.from_parts([_train_and_predict(subject, config, "valid") for config in configs])
    folds.write(out / FILE)
    return folds


def evaluate_left_out_corpora(
    published: Manifest, data: Path, corpora: Sequence[str], out: Path, changes: Sequence[str]
) -> CrossValidation:
    """Train the missing ones of the runs below `out` that leave out one corpus of collected voices each.

    `changes`: as of `evaluate_folds`. Raises InvalidManifest if the data cannot be read.
    """
    parts = []
    for corpus in corpora:
        folder = out / f"without-{corpus}"
        config = _config("audio", published, [*changes, "--data", str(data), "--leave-out", corpus], folder)
        parts.append(_train_and_predict("audio", config, "test"))
    result = CrossValidation.from_parts(parts)
    result.write(out / CORPORA_FILE)
    return result


def _train_and_predict(subject: Subject, config: TrainConfig, split: Split) -> HeldOut:
    chosen = recipe.find(subject)
    for plan in chosen.plans(config):
        fit(plan.settings, plan.task, config.out / plan.folder, plan.extra)
    return chosen.held_out(config, [split])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidManifest(f"the recipe of the folds cannot be read: {message}; --set changes it")


def fold_config(
    subject: Subject, published: Manifest, data: Path, fold: int, count: int, out: Path, changes: Sequence[str]
) -> TrainConfig:
    """Return the configuration that trained the published model, with other data.

    Raises InvalidManifest if it is unknown, or if the data cannot be split.
    """
    if "--fold" in changes:
        raise InvalidManifest("--folds leaves out each fold in turn: --set changes no fold")
    if data.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_examples(out / "list.csv", split_in_folds(list(read_examples(data)), fold, count))
        data_words = ["--data", str(out / "list.csv")]
    elif subject == "audio":
        if count != FOLDS:
            raise InvalidManifest(f"collected voices are split in {FOLDS} folds: --folds {FOLDS}")
        data_words = ["--data", str(data), "--fold", str(fold)]
    else:
        raise InvalidManifest("folds need a list with a speaker in every row")
    config = _config(subject, published, [*changes, *data_words], out)
    if data.is_file() and config.warm_starts:
        raise InvalidManifest("folds of a list train from scratch: the speakers of a start or a teacher are unknown")
    return config


def _config(subject: Subject, published: Manifest, changes: Sequence[str], out: Path) -> TrainConfig:
    """Return the configuration that trained the published model, with these command line words after its own."""
    words = _recorded_words(subject, published, changes)
    return config_of(recipe.find(subject).config_type, [*words, *changes, "--out", str(out)])


def config_of(config_type: type[ConfigT], words: Sequence[str]) -> ConfigT:
    """Return the configuration that command line words give. Raises InvalidManifest if there is no such option."""
    parser = _Parser(allow_abbrev=False)
    add_options(parser, config_type)
    return from_args(config_type, parser.parse_args(words))


def _recorded_words(subject: Subject, published: Manifest, changes: Sequence[str]) -> list[str]:
    """Return the options of the last run that made the published model, without start and teacher.

    Raises InvalidManifest if the command is not the recipe of one network that was trained to its end, unless `changes`
    gives the missing options.
    """
    command, stopped, _ = published.command.split("; then ")[-1].partition(STOPPED)
    words = shlex.split(command)
    complete = subject in words and "; and " not in published.command
    needed = [] if complete and not stopped else ["--epochs"] if complete else ["--epochs", "--learning-rate"]
    if missing := [name for name in needed if name not in changes]:
        options = " ".join(f"{name.removeprefix('--')}=…" for name in missing)
        raise InvalidManifest(
            f"the command of {published.reference} is not the whole recipe of one net: add --set {options}, and other "
            "options that do not have their default"
        )
    return _without(words[words.index(subject) + 1 :], OMITTED_OPTIONS) if complete else []


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the words without these options and all of their values."""
    kept: list[str] = []
    omitted = False
    for word in words:
        if word.startswith("--"):
            omitted = word in options
        if not omitted:
            kept.append(word)
    return kept


def join_folds(parts: Sequence[HeldOut]) -> Readings:
    """Return the outputs of all folds, each with the temperature of the others."""
    probabilities, rows = [], []
    for fold, part in enumerate(parts):
        others = [other for place, other in enumerate(parts) if place != fold]
        probabilities.append(softmax(part.logits_NC, _temperature(others or [part])))
        rows += [_row(example) for example in part.examples]
    return Readings(rows, np.concatenate(probabilities), 0)


def _temperature(parts: Sequence[HeldOut]) -> float:
    logits: Tensor = torch.cat([part.logits_NC for part in parts])
    return fit_temperature(logits, torch.cat([part.labels_N for part in parts]))


def _row(example: Example) -> LabelledRow:
    return LabelledRow(
        example.index,
        path=example.path or Path(),
        text=example.text or "",
        corpus=example.dataset,
        gender=example.gender or "",
    )

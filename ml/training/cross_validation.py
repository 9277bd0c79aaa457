"""Figures over folds: K nets of the recipe of a published one, each measured on speakers that it never heard.

Each fold's run lies in a folder of its own and is gone on with. Confidences of a fold are divided by the temperature
that the other folds ask for, so that no example is calibrated on itself.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.registry import Manifest
from ml.training.datasets.audio_corpora import FOLDS, folded
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.evaluation import Readings, Report, Row
from ml.training.loop import fit
from ml.training.metrics import fit_temperature, softmax
from ml.training.recipes import recipe
from ml.training.recipes.recipe import HeldOut, Subject

FILE = "folds.json"
LEFT_OUT = ("--start", "--taught-by", "--fold")
"""Nets that a published one began with or learnt from: they may have heard a fold's speakers. And who it left out."""
STOPPED = " (stopped after "


@dataclass(frozen=True)
class Folds:
    """`temperature`: over the outputs of all folds."""

    report: Report
    temperature: float

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"temperature": self.temperature, **self.report.json()}, indent=2) + "\n")


def evaluate_folds(
    subject: Subject, published: Manifest, data: Path, count: int, out: Path, extra: Sequence[str]
) -> Folds:
    """Trains what is missing of `count` runs below `out`, on a list with speakers or on collected voices.

    `extra`: words that change the recipe's arguments. Raises InvalidManifest when the speakers are not told.
    """
    parts = []
    for fold in range(count):
        args = fold_arguments(subject, published, data, fold, count, out / f"fold-{fold}", extra)
        chosen = recipe.find(subject)
        for plan in chosen.plans(args):
            fit(plan.settings, plan.task, args.out / plan.folder, plan.extra)
        parts.append(chosen.held_out(args, ["valid"]))
    folds = Folds(Report.of(joined(parts)), _temperature(parts))
    folds.write(out / FILE)
    return folds


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidManifest(f"the recipe of the folds cannot be read: {message}; --set changes it")


def fold_arguments(
    subject: Subject, published: Manifest, data: Path, fold: int, count: int, out: Path, extra: Sequence[str]
) -> argparse.Namespace:
    """The arguments that trained the published model, with other data. Raises InvalidManifest when they are not known,
    or the data cannot be split so."""
    if "--fold" in extra:
        raise InvalidManifest("--folds leaves out each fold in turn: --set changes no fold")
    parser = _Parser(allow_abbrev=False)
    recipe.find(subject).add_arguments(parser)
    words = _recipe_words(subject, published, extra)
    if data.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_examples(out / "list.csv", folded(list(read_examples(data)), fold, count))
        own = ["--data", str(out / "list.csv")]
    elif subject == "audio":
        if count != FOLDS:
            raise InvalidManifest(f"collected voices are split in {FOLDS} folds: --folds {FOLDS}")
        own = ["--data", str(data), "--fold", str(fold)]
    else:
        raise InvalidManifest("folds need a list with a speaker in every row")
    args = parser.parse_args([*words, *extra, *own, "--out", str(out)])
    if data.is_file() and (getattr(args, "start", None) or getattr(args, "taught_by", None)):
        raise InvalidManifest("on a list, folds begin from nothing: what a start or a teacher has heard is not known")
    return args


def _recipe_words(subject: Subject, published: Manifest, extra: Sequence[str]) -> list[str]:
    """Of the last run that made the published model, from nothing. Raises InvalidManifest where its command tells no
    recipe of one net that was trained to its end, and `extra` does not tell it."""
    told, stopped, _ = published.command.split("; then ")[-1].partition(STOPPED)
    words = shlex.split(told)
    alone = subject in words and "; and " not in published.command
    needed = [] if alone and not stopped else ["--epochs"] if alone else ["--epochs", "--learning-rate"]
    if lacking := [name for name in needed if name not in extra]:
        asked = " ".join(f"{name.removeprefix('--')}=…" for name in lacking)
        raise InvalidManifest(
            f"the command of {published.reference} is not the whole recipe of one net: tell it by --set {asked}, and "
            "what else is not as by default"
        )
    return _without(words[words.index(subject) + 1 :], LEFT_OUT) if alone else []


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words without these options and all of their values."""
    kept: list[str] = []
    leaving = False
    for word in words:
        if word.startswith("--"):
            leaving = word in options
        if not leaving:
            kept.append(word)
    return kept


def joined(parts: Sequence[HeldOut]) -> Readings:
    """All folds, each with the temperature of the others."""
    probabilities, rows = [], []
    for fold, part in enumerate(parts):
        others = [other for place, other in enumerate(parts) if place != fold]
        probabilities.append(softmax(part.logits_NC, _temperature(others or [part])))
        rows += [_row(example) for example in part.examples]
    return Readings(rows, np.concatenate(probabilities), 0)


def _temperature(parts: Sequence[HeldOut]) -> float:
    logits: Tensor = torch.cat([part.logits_NC for part in parts])
    return fit_temperature(logits, torch.cat([part.labels_N for part in parts]))


def _row(example: Example) -> Row:
    row = Row(example.index, corpus=example.dataset, gender=example.gender or "")
    return replace(row, path=example.path or Path(), text=example.text or "")

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

import numpy as np
import torch
from torch import Tensor

from ml.artifacts import Manifest
from ml.errors import InvalidManifest
from ml.training.datasets.example import Example
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.datasets.voices import folded
from ml.training.evaluation import Readings, Report, Row
from ml.training.loop import fit
from ml.training.metrics import fit_temperature, softmax
from ml.training.recipes import recipe
from ml.training.recipes.recipe import HeldOut, Subject

FILE = "folds.json"
KNOWING = ("--start", "--taught-by")


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


def fold_arguments(
    subject: Subject, published: Manifest, data: Path, fold: int, count: int, out: Path, extra: Sequence[str]
) -> argparse.Namespace:
    """The arguments that trained the published model, with other data."""
    parser = argparse.ArgumentParser()
    recipe.find(subject).add_arguments(parser)
    told = shlex.split(published.command.split(";")[-1])
    words = _from_nothing(told[told.index(subject) + 1 :] if subject in told else [])
    if data.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_examples(out / "list.csv", folded(list(read_examples(data)), fold, count))
        own = ["--data", str(out / "list.csv")]
    elif subject == "audio":
        own = ["--data", str(data), "--fold", str(fold)]
    else:
        raise InvalidManifest("folds need a list with a speaker in every row")
    return parser.parse_args([*words, *extra, *own, "--out", str(out)])


def _from_nothing(words: Sequence[str]) -> list[str]:
    """Without the nets that a published one began with or learnt from: they may have heard a fold's speakers."""
    kept: list[str] = []
    for place, word in enumerate(words):
        if word not in KNOWING and (not place or words[place - 1] not in KNOWING):
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

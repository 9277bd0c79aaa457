"""What every recipe offers, so that one set of commands trains, tunes, calibrates and publishes all models."""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.paths import MODEL_STORE
from ml.registry import Licence, ModelStore
from ml.training.datasets.example import Example, Split
from ml.training.loop import ADAMW, OPTIMIZERS, LoopConfig, Task, run_settings

Subject = Literal["face", "audio", "text", "fusion"]
_MODULES: dict[Subject, str] = {
    "face": "ml.training.recipes.face.recipe",
    "audio": "ml.training.recipes.audio.recipe",
    "text": "ml.training.recipes.text.recipe",
    "fusion": "ml.training.recipes.fusion.recipe",
}
SUBJECTS: tuple[Subject, ...] = tuple(_MODULES)
HELD_OUT_SPLITS: tuple[Split, ...] = ("valid", "test")
CHOSEN_BY = "chosen by"
"""The figure of the validation part that a study maximises; a recipe's `validate` gives it with the others."""

PRECISION = {"auto": None, "fp32": False, "bf16": True}
RESEARCH = "research and non-commercial use"
AS_ITS_DATA = "As its data permit."


def chosen_by(figures: Sequence[float]) -> dict[str, float]:
    """The mean of the parts for validation, under CHOSEN_BY; nothing where there are none."""
    return {CHOSEN_BY: sum(figures) / len(figures)} if figures else {}


@dataclass(frozen=True)
class Plan:
    """A run before it begins. `extra`: what it depends on beside the loop, as JSON values. `folder`: of the run, below
    `--out`."""

    settings: LoopConfig
    task: Task[Any]
    extra: dict[str, Any]
    folder: str = "."


@dataclass(frozen=True)
class HeldOut:
    """What a trained net says of examples that it was not trained on: logits [N, 7], before any temperature."""

    logits_NC: Tensor
    examples: list[Example]

    @property
    def labels_N(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])

    def only(self, rows: list[int]) -> "HeldOut":
        return HeldOut(self.logits_NC[rows], [self.examples[row] for row in rows])


class Recipe(Protocol):
    """A module that trains one kind of model: by one plan, or by several, of which the last is tuned. `trial` is an
    Optuna trial; `space` gives arguments to change from what they are."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def plans(self, args: argparse.Namespace) -> list[Plan]: ...

    def held_out(self, args: argparse.Namespace, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut: ...

    def publish(self, args: argparse.Namespace, temperature: float) -> str: ...

    def space(self, trial: Any, args: argparse.Namespace) -> dict[str, Any]: ...


def find(subject: Subject) -> Recipe:
    return cast(Recipe, import_module(_MODULES[subject]))


def add_common(parser: argparse.ArgumentParser, subject: Subject) -> None:
    """What all recipes need."""
    told = "a list (CSV, as `datasets import` writes it), or a folder of collected data"
    parser.add_argument("--data", type=Path, required=True, help=told)
    parser.add_argument("--out", type=Path, default=Path("runs") / subject, help="folder of the run")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--store", type=Path, default=MODEL_STORE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default=ADAMW)
    parser.add_argument("--precision", choices=PRECISION, default="auto", help="auto: bf16 where it is faster")
    parser.add_argument("--workers", type=int, default=1, help="processes that preprocess")
    parser.add_argument("--name", default=subject, help="publish: the name in the store")
    parser.add_argument("--licence", default=RESEARCH, help="publish: of the weights, as the data permits")
    parser.add_argument("--commercial", action="store_true", help="publish: the data permits commercial use")


def optimizer_space(trial: Any, least: float, most: float) -> dict[str, Any]:
    """Which optimiser, and its rate: of AdamW between `least` and `most`, of SGD thirty times that."""
    optimizer = trial.suggest_categorical("optimizer", OPTIMIZERS)
    scale = 1 if optimizer == ADAMW else 30
    rate = trial.suggest_float(f"{optimizer}_rate", least * scale, most * scale, log=True)
    return {"optimizer": optimizer, "learning_rate": rate}


def loop_options(loop: dict[str, Any]) -> str:
    """What of a run's loop the command line was told beyond its defaults, for the command of a card."""
    defaults = {"optimizer": ADAMW, "seed": 0}
    return "".join(f" --{name} {loop[name]}" for name, usual in defaults.items() if loop.get(name, usual) != usual)


@dataclass(frozen=True)
class OutOfFold:
    """What nets of a recipe say of speakers that they never heard, as `evaluate --folds` wrote it: the temperature
    over all folds, and figures by data set."""

    temperature: float
    figures: dict[str, Any]

    @classmethod
    def of(cls, args: argparse.Namespace) -> "OutOfFold | None":
        """Null where `--folds` is not told. Raises InvalidManifest when it cannot be read."""
        path: Path | None = getattr(args, "folds", None)
        if path is None:
            return None
        try:
            told = json.loads(path.read_text())
            corpora = told.pop("corpora", {})
            whole = {name: value for name, value in told.items() if name not in ("genders", "temperature")}
            figures = {f"{name}, out of fold": found for name, found in {"all": whole, **corpora}.items()}
            return cls(float(told["temperature"]), figures)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidManifest(f"{path} is not what `evaluate --folds` writes: name its folds.json") from error


def out_of_fold_figures(args: argparse.Namespace) -> dict[str, Any]:
    found = OutOfFold.of(args)
    return found.figures if found else {}


def restrictions(store: ModelStore, references: Iterable[str]) -> list[str]:
    """Which published nets that go into another, or went into a run that does, forbid commercial use."""
    found: list[str] = []
    for reference in references:
        if Path(reference).is_dir():
            found += run_settings(Path(reference)).get("restricted", [])
        elif not (licence := store.manifest(reference).licence).commercial:
            found.append(f"{reference} ({licence.name})")
    return list(dict.fromkeys(found))


def licence_of(args: argparse.Namespace, note: str, restricted: Sequence[str] = ()) -> Licence:
    """As told on the command line. Raises InvalidManifest where nets that it was made with forbid that."""
    if args.commercial and restricted:
        raise InvalidManifest(f"--commercial: it was made with {', '.join(restricted)}, which forbid commercial use")
    if args.commercial:
        return Licence(name=args.licence, commercial=True, note="Whoever published it says that its data permit this.")
    made_with = f" Made with {', '.join(restricted)}." if restricted else ""
    return Licence(name=args.licence, commercial=False, note=note + made_with)


def parts_of(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Rows by data set, and by split where one has several of them held out: what was chosen on is no test."""
    splits = {dataset: {e.split for e in examples if e.dataset == dataset} for dataset in {e.dataset for e in examples}}
    parts: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        several = len(splits[example.dataset]) > 1
        parts.setdefault(f"{example.dataset}, {example.split}" if several else example.dataset, []).append(row)
    return dict(sorted(parts.items()))


def sets_of(examples: list[Example]) -> tuple[str, ...]:
    """The names of the data sets trained on, with their sizes."""
    names = [example.dataset for example in examples if example.split == "train"]
    return tuple(f"{name}: {names.count(name):,} examples" for name in sorted(set(names)))

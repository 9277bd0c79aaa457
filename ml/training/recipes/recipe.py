"""Interface and shared functions of the recipes: one set of commands trains, tunes, calibrates and publishes all.

A recipe is a module: see `Recipe`. A new kind of model needs such a module, its configuration, and a row in `MODULES`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.registry import Licence, ModelStore
from ml.training.config import TrainConfig
from ml.training.datasets.example import Example, Split
from ml.training.loop import ADAMW, OPTIMIZERS, LoopConfig, Task, run_settings

Subject = Literal["face", "audio", "text", "fusion"]
MODULES: dict[Subject, str] = {
    "face": "ml.training.recipes.face.recipe",
    "audio": "ml.training.recipes.audio.recipe",
    "text": "ml.training.recipes.text.recipe",
    "fusion": "ml.training.recipes.fusion.recipe",
}
SUBJECTS: tuple[Subject, ...] = tuple(MODULES)
Detail = Literal["movements", "bursts", "identity"]
DETAIL_MODULES: dict[Detail, str] = {
    "movements": "ml.training.recipes.movements.recipe",
    "bursts": "ml.training.recipes.bursts.recipe",
    "identity": "ml.training.recipes.identity.recipe",
}
"""Recipes of models that find details of a recording, which are no emotions."""
HELD_OUT_SPLITS: tuple[Split, ...] = ("valid", "test")
CHOSEN_BY = "chosen by"
"""Name of the validation figure that a study maximises; `validate` of a recipe returns it with the others."""
LICENCE_OF_ITS_DATA = "As its data permit."

ConfigT = TypeVar("ConfigT", bound=TrainConfig)


def selection_figure(figures: Sequence[float]) -> dict[str, float]:
    """Return the mean of the figures of the validation parts under CHOSEN_BY; empty without any."""
    return {CHOSEN_BY: sum(figures) / len(figures)} if figures else {}


@dataclass(frozen=True)
class Plan:
    """Training run that has not begun.

    `extra`: JSON values that the run depends on in addition to the loop. `folder`: folder of the run, below `--out`.
    """

    settings: LoopConfig
    task: Task[Any]
    extra: dict[str, Any]
    folder: str = "."


@dataclass(frozen=True)
class HeldOut:
    """Outputs of a trained network for held-out examples: logits [N, 7], before any temperature."""

    logits_NC: Tensor
    examples: list[Example]

    @property
    def labels_N(self) -> Tensor:
        return torch.tensor([example.index for example in self.examples])

    def select(self, rows: list[int]) -> "HeldOut":
        return HeldOut(self.logits_NC[rows], [self.examples[row] for row in rows])


class Recipe(Protocol[ConfigT]):
    """Module that trains one kind of model."""

    @property
    def config_type(self) -> type[ConfigT]:
        """Class of the configuration; its fields are the options of the commands."""

    def plans(self, config: ConfigT) -> list[Plan]:
        """Read the data and return the runs to train, in order; the last one is tuned.

        Raises InvalidManifest if the data cannot be read or is too little.
        """

    def held_out(self, config: ConfigT, splits: Sequence[Split] = HELD_OUT_SPLITS) -> HeldOut:
        """Return the outputs of the trained run in `config.out` for the held-out examples of the splits."""

    def publish(self, config: ConfigT, temperature: float, folds: "OutOfFold | None" = None) -> str:
        """Evaluate the run in `config.out`, add it to the model store, and return its reference (`face@3`).

        `folds`: figures of a cross-validation, which the card lists too.
        """

    def space(self, trial: Any, config: ConfigT) -> dict[str, Any]:
        """Return the fields of the configuration that a trial of Optuna changes, with their values."""


class DetailRecipe(Protocol[ConfigT]):
    """Module that trains a model of details. It has no temperature and no seven labels."""

    @property
    def config_type(self) -> type[ConfigT]:
        """Class of the configuration; its fields are the options of the commands."""

    def plans(self, config: ConfigT) -> list[Plan]:
        """Read the data and return the runs to train, in order. Raises InvalidManifest."""

    def publish(self, config: ConfigT) -> str:
        """Measure the run in `config.out`, add it to the model store, and return its reference."""


def find(subject: Subject) -> Recipe[Any]:
    return cast(Recipe[Any], import_module(MODULES[subject]))


def find_detail(detail: Detail) -> DetailRecipe[Any]:
    return cast(DetailRecipe[Any], import_module(DETAIL_MODULES[detail]))


def optimizer_space(trial: Any, min_rate: float, max_rate: float) -> dict[str, Any]:
    """Let a trial choose the optimiser and its learning rate.

    The rate of AdamW is between `min_rate` and `max_rate`; the rate of SGD is thirty times as high.
    """
    optimizer = trial.suggest_categorical("optimizer", OPTIMIZERS)
    scale = 1 if optimizer == ADAMW else 30
    rate = trial.suggest_float(f"{optimizer}_rate", min_rate * scale, max_rate * scale, log=True)
    return {"optimizer": optimizer, "learning_rate": rate}


def loop_options(loop: dict[str, Any]) -> str:
    """Return the loop options of a run that differ from the defaults, for the command in a card."""
    defaults = {"optimizer": ADAMW, "seed": 0}
    return "".join(f" --{name} {loop[name]}" for name, usual in defaults.items() if loop.get(name, usual) != usual)


@dataclass(frozen=True)
class OutOfFold:
    """Result of `evaluate --folds`: the temperature over all folds, and figures by data set.

    No figure comes from a speaker that the measured network was trained on.
    """

    temperature: float
    figures: dict[str, Any]

    @classmethod
    def read(cls, path: Path, of: str = "out of fold") -> "OutOfFold":
        """Read a `folds.json` or `corpora.json`. Raises InvalidManifest if it cannot be read.

        `of`: what the names of its figures say of their origin.
        """
        try:
            document = json.loads(path.read_text())
            corpora = document.pop("corpora", {})
            whole = {name: value for name, value in document.items() if name not in ("genders", "temperature")}
            figures = {f"{name}, {of}": each for name, each in {"all": whole, **corpora}.items()}
            return cls(float(document["temperature"]), figures)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidManifest(
                f"{path} was not written by `evaluate --folds`: pass its folds.json to --folds"
            ) from error

    def with_left_out(self, corpora: "OutOfFold") -> "OutOfFold":
        """Return the folds with the figures of corpora that were left out; the temperature is that of the folds."""
        return OutOfFold(self.temperature, self.figures | corpora.figures)


def metrics_with_folds(metrics: Mapping[str, Any], folds: OutOfFold | None) -> dict[str, Any]:
    """Return the figures of a card: those of the run, and those of a cross-validation, if any."""
    return {**metrics, **(folds.figures if folds else {})}


def restrictions(store: ModelStore, references: Iterable[str]) -> list[str]:
    """Return the published models that forbid commercial use, with their licences.

    `references`: models of the store, or run folders, which know the restrictions of what they were made with.
    """
    restricted: list[str] = []
    for reference in references:
        if Path(reference).is_dir():
            restricted += run_settings(Path(reference)).get("restricted", [])
        elif not (licence := store.manifest(reference).licence).commercial:
            restricted.append(f"{reference} ({licence.name})")
    return list(dict.fromkeys(restricted))


def licence_of(config: TrainConfig, note: str, restricted: Sequence[str] = ()) -> Licence:
    """Return the licence that the command line states.

    Raises InvalidManifest if models that the network was made with forbid commercial use, and `--commercial` is given.
    """
    if config.commercial and restricted:
        raise InvalidManifest(f"--commercial: it was made with {', '.join(restricted)}, which forbid commercial use")
    if config.commercial:
        return Licence(name=config.licence, commercial=True, note="Its publisher states that its data permit this.")
    made_with = f" Made with {', '.join(restricted)}." if restricted else ""
    return Licence(name=config.licence, commercial=False, note=note + made_with)


def parts_of(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the rows by data set, and by split if a data set has several held-out ones.

    Figures of the split that a model was chosen on are thereby separate from those of the test split.
    """
    splits = {dataset: {e.split for e in examples if e.dataset == dataset} for dataset in {e.dataset for e in examples}}
    parts: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        several = len(splits[example.dataset]) > 1
        parts.setdefault(f"{example.dataset}, {example.split}" if several else example.dataset, []).append(row)
    return dict(sorted(parts.items()))


def training_sets(examples: list[Example]) -> tuple[str, ...]:
    """Return the names of the data sets trained on, with their sizes."""
    names = [example.dataset for example in examples if example.split == "train"]
    return tuple(f"{name}: {names.count(name):,} examples" for name in sorted(set(names)))

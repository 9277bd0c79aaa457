"""Model soup: the mean of the weights of networks with the same start (Wortsman et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks import e5
from ml.networks.text import MultilingualTextConfig, TextConfig
from ml.registry import Licence, ModelStore
from ml.training.loop import averaged_weights, run_settings
from ml.training.recipes.recipe import licence_of, loop_options, training_sets
from ml.training.recipes.text.config import TextTrainConfig
from ml.training.recipes.text.data import ATTRIBUTION, COMMERCIAL_SETS, DATA, read_sides


@dataclass(frozen=True)
class Ingredient:
    """Network of a run or of the store that goes into a soup."""

    config: TextConfig
    weights: dict[str, Tensor]
    data: tuple[str, ...]
    command: str
    licence: Licence


def load_ingredients(config: TextTrainConfig) -> list[Ingredient]:
    """Return the run in `--out` and the models of `--soup-with`. Raises InvalidManifest if their shapes differ."""
    ingredients = {name: _load_ingredient(config, name) for name in (str(config.out), *config.soup_with)}
    for name, each in ingredients.items():
        if each.config != ingredients[str(config.out)].config:
            raise InvalidManifest(f"{name} has another shape: weights cannot be averaged")
    return list(ingredients.values())


def _load_ingredient(config: TextTrainConfig, name: str) -> Ingredient:
    """Return the run in the folder `name`, or else the published model. Raises InvalidManifest and ModelStoreError."""
    if Path(name).is_dir():
        settings = run_settings(Path(name))
        shape, weights, sets = settings["config"], averaged_weights(Path(name)), settings["sets"]
        listed = config.data.is_file()
        data = training_sets(read_sides(config, sets)[0]) if listed else tuple(DATA[each] for each in sets)
        command, licence = _command(settings), _licence_of_run(config, sets)
    else:
        store = ModelStore(config.store)
        manifest, weights = store.manifest(name), store.weights(name)
        shape, data, command, licence = manifest.config, manifest.data, manifest.command, manifest.licence
    return Ingredient(_shape(shape), weights, data, command, licence)


def _shape(values: dict[str, Any]) -> TextConfig:
    kind = MultilingualTextConfig if values["vocabulary"] == e5.VOCABULARY else TextConfig
    return kind(**values)


def soup_shares(config: TextTrainConfig) -> list[float]:
    """Return the shares of the run in `--out` and of each model of `--soup-with`; they sum to 1.

    Raises InvalidManifest if `--soup-share` is out of range.
    """
    others = len(config.soup_with)
    share = others / (1 + others) if config.soup_share is None else config.soup_share
    if not 0 <= share < 1:
        raise InvalidManifest("--soup-share is from 0 to below 1")
    return [1 - share, *[share / others] * others] if others else [1.0]


def average_weights(ingredients: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of the weights; integer buffers are those of the first network."""
    first = ingredients[0]
    return {
        name: torch.stack(
            [share * weights[name].float() for share, weights in zip(shares, ingredients, strict=True)]
        ).sum(0)
        if first[name].is_floating_point()
        else first[name]
        for name in first
    }


def _command(settings: dict[str, Any]) -> str:
    loop = settings["loop"]
    epochs = loop["epochs"] // settings.get("checkpoints", 1)
    command = f"python -m ml train text --datasets {' '.join(settings['sets'])} --epochs {epochs}"
    command += f" --batch-size {settings['batch']} --learning-rate {loop['learning_rate']}"
    command += f" --consistency {settings['consistency']}" if "consistency" in settings else ""
    command += f" --context-tokens {tokens}" if (tokens := settings["config"].get("before")) else ""
    return command + start_options(settings) + loop_options(loop)


def start_options(settings: dict[str, Any]) -> str:
    """Return the options of a run that does not begin with MiniLM."""
    if "start" not in settings:
        return ""
    limits = f" --limits {' '.join(settings['limits'])}" if settings["limits"] else ""
    names = ("max_tokens", "checkpoints", "frozen_layers", "layer_decay")
    others = "".join(f" --{name.replace('_', '-')} {settings[name]}" for name in names)
    return f" --start {settings['start']}{limits}{others}"


def _licence_of_run(config: TextTrainConfig, sets: Sequence[str]) -> Licence:
    """Return the licence of the command line for a list or `--commercial`, else the licence of the data sets."""
    if config.data.is_file() or config.commercial:
        return licence_of(config, "As its data.")
    restricted = [DATA[name] for name in sets if name not in COMMERCIAL_SETS]
    if restricted:
        note = f"The start is Apache-2.0; these data sets restrict what is trained on them: {'; '.join(restricted)}."
        return Licence(name="research and non-commercial use", commercial=False, note=note)
    asking = [name for name in ATTRIBUTION if name in sets]
    asks = "asks" if len(asking) == 1 else "ask"
    attribution = f"; {', '.join(ATTRIBUTION[name] for name in asking)} {asks} to be named" if asking else ""
    return Licence(name="Apache-2.0", commercial=True, note=f"Start and data sets permit commercial use{attribution}.")

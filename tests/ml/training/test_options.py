"""Configurations as the source of the command line, and the commands that cards and the lab notebook recorded."""

import argparse
import json
import re
import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import pytest

from ml.paths import MODEL_STORE
from ml.training import cli, reading_sheet
from ml.training.options import add_options, changed_options, command_words, from_args, option, with_default
from ml.training.recipes import recipe
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.recipe import DETAIL_MODULES, SUBJECTS

NOTEBOOK = Path(cli.__file__).with_name("RESULTS.md")
CARDS = sorted(MODEL_STORE.glob("*/*/manifest.json"))
NO_LONGER_TRAINED = {"fusion"}
"""Architectures that are served as published. Their cards keep the commands of releases that trained them."""
ALIASES = {
    "face": {
        "--beside": "ensemble_with",
        "--taught-by": "teacher",
        "--views": "tta",
        "--painted": "painted_prob",
        "--strength": "augment_strength",
        "--votes": "votes_share",
        "--sets": "datasets",
        "--batch": "batch_size",
    },
    "audio": {"--taught-by": "teacher", "--batch": "batch_size"},
    "text": {
        "--soup": "soup_with",
        "--before": "context_tokens",
        "--sets": "datasets",
        "--batch": "batch_size",
    },
    "fusion": {"--batch": "batch_size"},
}


@dataclass(frozen=True, kw_only=True)
class Base:
    data: Path = option(help="data")
    rate: float = option(help="rate", default=0.1)


@dataclass(frozen=True, kw_only=True)
class Config(Base):
    rate: float = with_default(Base, "rate", 0.5)
    mode: Literal["off", "on"] = option(help="mode", default="off")
    fast: bool = option(help="fast", default=False)
    others: tuple[str, ...] = option(help="others", alias="--beside", default=())
    pair: tuple[int, int] = option(help="pair", default=(1, 2))
    steps: int | None = option(help="steps", default=None)


def parse(words: list[str]) -> Config:
    parser = argparse.ArgumentParser()
    add_options(parser, Config)
    return from_args(Config, parser.parse_args(words))


def test_from_args_without_options_equals_the_defaults() -> None:
    assert parse(["--data", "x"]) == Config(data=Path("x"))
    assert Config(data=Path("x")).rate == 0.5, "a subclass has its own default"


def test_from_args_converts_values_by_annotation() -> None:
    words = ["--data", "x", "--mode", "on", "--fast", "--others", "a", "b", "--pair", "3", "4", "--steps", "5"]
    config = parse(words)
    assert config == Config(data=Path("x"), mode="on", fast=True, others=("a", "b"), pair=(3, 4), steps=5)
    assert parse(["--data", "x", "--beside", "a", "b"]).others == ("a", "b"), "the alias"


@pytest.mark.parametrize("words", [[], ["--data", "x", "--mode", "maybe"], ["--data", "x", "--pair", "1"]])
def test_from_args_refuses_missing_and_wrong_values(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)


def test_alias_is_not_listed_in_the_help() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, Config)
    assert "--others" in parser.format_help() and "--beside" not in parser.format_help()


def test_command_words_repeat_the_configuration() -> None:
    config = Config(data=Path("my list"), fast=True, others=("a", "b c"), steps=3)
    words = command_words(config, ["data", *changed_options(replace(config, data=config.data))])
    assert parse(words) == config


@pytest.mark.parametrize("subject", SUBJECTS)
def test_configuration_of_a_recipe_has_help_and_defaults(subject: recipe.Subject) -> None:
    config_type = recipe.find(subject).config_type
    required = {"--data": "x"} | ({"--models": "a b c"} if subject == "fusion" else {})
    words = [word for flag, values in required.items() for word in (flag, *values.split())]
    parser = argparse.ArgumentParser()
    add_options(parser, config_type)
    assert from_args(config_type, parser.parse_args(words)).data == Path("x")
    assert all(each.metadata["help"] for each in fields(config_type))
    aliases = {each.metadata["alias"]: each.name for each in fields(config_type) if each.metadata["alias"]}
    assert aliases == ALIASES[subject]


def test_face_weights_of_others_are_options() -> None:
    """The table of pretrained weights is read by name of a field."""
    from ml.training.recipes.face.backbones import PRETRAINED

    assert set(PRETRAINED) <= {each.name for each in fields(FaceTrainConfig)}


def recorded() -> list[str]:
    commands = []
    for path in CARDS:
        card = json.loads(path.read_text())
        if card["architecture"] not in NO_LONGER_TRAINED:
            commands += re.findall(r"python -m ml train .*?(?=;| \(stopped|$)", card["command"])
    return commands


@pytest.mark.parametrize("command", recorded())
def test_train_reads_the_command_of_a_card(command: str) -> None:
    words = shlex.split(command.removeprefix("python -m ml train "))
    chosen = recipe.find_detail(words[0]) if words[0] in DETAIL_MODULES else recipe.find(words[0])  # type: ignore[arg-type]
    args = cli.parser("train").parse_args([*words, "--data", "x"])
    config = from_args(chosen.config_type, args)
    assert config.epochs == int(words[words.index("--epochs") + 1])


def test_cards_record_commands() -> None:
    assert len(recorded()) >= 8


def test_notebook_quotes_only_known_flags() -> None:
    """Flags of the notebook that no verb reads: of other programs, and of runs before the first release."""
    quoted = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", NOTEBOOK.read_text()))
    known = set(reading_sheet.parser()._option_string_actions)
    for verb in ("train", "calibrate", "publish", "evaluate"):
        parser = cli.parser(verb)
        known |= set(parser._option_string_actions)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                known |= {flag for each in action.choices.values() for flag in each._option_string_actions}
    assert quoted - known == set()

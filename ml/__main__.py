"""Command line without a server: `python -m ml predict FILE`, `… evaluate face`, `… fetch whisper NAME`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from ml import memory
from ml.errors import AffectError
from ml.paths import MODEL_STORE
from ml.predict import add_arguments, add_explain_arguments


@dataclass(frozen=True)
class Subcommand:
    """A command defined by a module with a function `parser(name)`, which is imported only if the command is called."""

    module: str
    help: str


SUBCOMMANDS = {
    "datasets": Subcommand("ml.training.datasets.cli", "list, inspect and import data sets"),
    "preprocess": Subcommand("ml.training.preprocess", "extract crops, audio and words of a list of files"),
    "train": Subcommand("ml.training.cli", "train a model, or resume a stopped run"),
    "tune": Subcommand("ml.training.tuning", "search for the best hyperparameters with Optuna"),
    "calibrate": Subcommand("ml.training.cli", "fit the temperature of a run's confidences"),
    "publish": Subcommand("ml.training.cli", "evaluate a run and add it to the model store"),
    "evaluate": Subcommand("ml.training.cli", "evaluate the served models on labelled data"),
    "sheet": Subcommand("ml.training.reading_sheet", "draw faces with their readings"),
    "fetch": Subcommand("ml.registry.cli", "download weights into the model store"),
    "rollback": Subcommand("ml.training.cli", "restore the previous version of a bundle"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return the exit status: 0, or 1 with an error message on standard error."""
    memory.configure_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    subcommand = SUBCOMMANDS.get(words[0]) if words else None
    parser = import_module(subcommand.module).parser(words[0]) if subcommand else _parser()
    args = parser.parse_args(words[1:] if subcommand else words)
    try:
        args.run(args)
    except AffectError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "Estimate the emotion that people express in photos, recordings and videos, without a server."
    parser = argparse.ArgumentParser(prog="python -m ml", description=description)
    commands = parser.add_subparsers(required=True)
    for name, subcommand in SUBCOMMANDS.items():
        commands.add_parser(name, help=subcommand.help, add_help=False)
    command = commands.add_parser("predict", help="analyse a file, or a folder of files, and print its timeline")
    add_arguments(command, MODEL_STORE)
    command = commands.add_parser("explain", help="analyse a file, and write images that explain the result")
    add_explain_arguments(command, MODEL_STORE)
    return parser


if __name__ == "__main__":
    sys.exit(main())

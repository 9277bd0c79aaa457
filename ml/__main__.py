"""The command line of the offline side: `python -m ml predict FILE`, `… evaluate face`, `… fetch whisper NAME`."""

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
class Offline:
    """A command with rooms of its own: `module` has its `parser(name)`, and is imported only when it is called."""

    module: str
    help: str


OFFLINE = {
    "datasets": Offline("ml.training.datasets.cli", "list, look at and import data sets"),
    "preprocess": Offline("ml.training.preprocess", "crops, sound and words of a list of files, made once"),
    "train": Offline("ml.training.cli", "train a model, or go on where a run was stopped"),
    "tune": Offline("ml.training.tuning", "search for what trains best, by Optuna"),
    "calibrate": Offline("ml.training.cli", "fit the temperature of a run"),
    "publish": Offline("ml.training.cli", "measure a run and write it into the model store"),
    "evaluate": Offline("ml.training.cli", "measure the served models on labelled data"),
    "fetch": Offline("ml.registry.cli", "download weights into the model store"),
    "rollback": Offline("ml.training.cli", "let a bundle name what it named before"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, or 1 with a line on standard error."""
    memory.configure_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    offline = OFFLINE.get(words[0]) if words else None
    parser = import_module(offline.module).parser(words[0]) if offline else _parser()
    args = parser.parse_args(words[1:] if offline else words)
    try:
        args.run(args)
    except AffectError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml", description="How people come across, read offline.")
    commands = parser.add_subparsers(required=True)
    for name, offline in OFFLINE.items():
        commands.add_parser(name, help=offline.help, add_help=False)
    command = commands.add_parser("predict", help="read a file, or a folder of them, and tell its timeline")
    add_arguments(command, MODEL_STORE)
    command = commands.add_parser("explain", help="read a file, and show why it reads so, as pictures")
    add_explain_arguments(command, MODEL_STORE)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command line of the offline side: `python -m ml predict FILE`, `… evaluate face`, `… fetch whisper NAME`."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ml.errors import AffectError
from ml.places import MODEL_STORE
from ml.predict import add_arguments, add_explain_arguments


@dataclass(frozen=True)
class Offline:
    """A command of the training side: `module` has its `parser(name)`, and is imported only when it is called."""

    module: str
    help: str


OFFLINE = {
    "datasets": Offline("ml.training.datasets.command", "list, look at and import data sets"),
    "preprocess": Offline("ml.training.preprocess", "crops, sound and words of a list of files, made once"),
    "train": Offline("ml.training.command", "train a model, or go on where a run was stopped"),
    "tune": Offline("ml.training.tuning", "search for what trains best, by Optuna"),
    "calibrate": Offline("ml.training.command", "fit the temperature of a run"),
    "publish": Offline("ml.training.command", "measure a run and write it into the model store"),
    "evaluate": Offline("ml.training.command", "measure the served models on labelled data"),
    "rollback": Offline("ml.training.command", "let a bundle name what it named before"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0, or 1 with a line on standard error."""
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
    command = commands.add_parser("fetch", help="download weights into the model store")
    command.add_argument("kind", choices=["whisper"])
    command.add_argument("name", help="a size (tiny, small.en, large-v3, turbo, …), or OWNER/REPO on the hub")
    command.add_argument("--revision", default="main", help="a branch, tag or commit")
    command.add_argument("--endpoint", default=os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    command.add_argument("--store", type=Path, default=MODEL_STORE)
    command.set_defaults(run=fetch)
    return parser


def fetch(args: argparse.Namespace) -> None:
    """Weights from a hub, with a bar on standard error; an interrupted download is gone on with next time."""
    from tqdm import tqdm

    from ml.artifacts.fetch import Source, fetch_whisper

    source = Source.of(args.name, args.revision)
    with tqdm(desc=source.name, unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def progress(at_hand: int, total: int) -> None:
            bar.total = total
            bar.update(at_hand - bar.n)

        folder = fetch_whisper(source, args.store, progress, args.endpoint)
    print(f"{folder} holds {source.repository}; AFFECT_WHISPER_MODEL={source.name} serves it.")


if __name__ == "__main__":
    sys.exit(main())

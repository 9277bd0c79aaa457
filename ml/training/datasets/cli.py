"""`python -m ml datasets list|inspect|import`: list the known data sets, look into one, import one."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ml.training.datasets.contact_sheet import write_sheet
from ml.training.datasets.example import Example, Split, without_skipped
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.datasets.registry import DATA_SETS, read, temporary_folder
from ml.training.options import bind, option
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Data set that a command reads."""

    name: str = option(help=f"{', '.join(DATA_SETS)}; or manifest, for a CSV that `import` wrote", flag="name")
    root: Path = option(help="folder of the data set, in its published layout", flag="root")


@dataclass(frozen=True, kw_only=True)
class InspectConfig(SourceConfig):
    """Options of `python -m ml datasets inspect`."""

    sheet: Path | None = option(help="image to write: faces or spectrograms by label", metavar="PNG", default=None)


@dataclass(frozen=True, kw_only=True)
class ImportConfig(SourceConfig):
    """Options of `python -m ml datasets import`."""

    out: Path = option(help="list to write", metavar="CSV")


def parser(_: str = "datasets") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml datasets", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    command = verbs.add_parser("list", help="list the known data sets, with their terms")
    command.set_defaults(run=lambda _: list_known())
    command = verbs.add_parser("inspect", help="count examples by label, speaker and split, and show some of them")
    bind(command, InspectConfig, inspect)
    command = verbs.add_parser("import", help="write the list (CSV) that training and evaluation read")
    bind(command, ImportConfig, import_set)
    return parser


def list_known() -> None:
    for known in DATA_SETS.values():
        print(f"{known.name:17} {known.content:10} {known.terms}")


def inspect(config: InspectConfig) -> None:
    with temporary_folder() as folder:
        examples, skipped = _examples(config, Path(folder))
        print(summary(examples, skipped))
        if config.sheet:
            print(f"{write_sheet(config.sheet, examples)} examples shown in {config.sheet}")


def import_set(config: ImportConfig) -> None:
    examples, skipped = _examples(config, config.out.parent / config.name)
    write_examples(config.out, examples)
    print(summary(examples, skipped))
    print(f"{len(examples):,} examples listed in {config.out}")


def _examples(config: SourceConfig, folder: Path) -> tuple[list[Example], Counter[str]]:
    listed = config.name == "manifest"
    return without_skipped(read_examples(config.root) if listed else read(config.name, config.root, folder))


def summary(examples: Sequence[Example], skipped: Counter[str]) -> str:
    """Return a table of labels by split, speakers by split, gender, and skipped records."""
    splits: tuple[Split, ...] = get_args(Split)
    lines = [_row("", splits)]
    for label in (*EMOTIONS, None):
        cells = _by_split(examples, lambda e, own=label: e.label == own)  # type: ignore[misc]
        if label or any(cells):
            lines.append(_row(label or "no emotion", cells))
    lines.append(_row("all", _by_split(examples, lambda e: True)))
    speakers = [len({e.speaker for e in examples if e.split == split and e.speaker}) for split in splits]
    lines.append(_row("speakers", speakers))
    lines += [
        f"{gender}: {count:,}" for gender, count in sorted(Counter(e.gender for e in examples if e.gender).items())
    ]
    lines += [f"skipped, {reason}: {count:,}" for reason, count in skipped.most_common()]
    shared = _shared_speakers(examples)
    lines += [f"on two sides of the split: {', '.join(shared)}"] if shared else []
    return "\n".join(lines)


def _by_split(examples: Sequence[Example], wanted: Callable[[Example], bool]) -> list[int]:
    return [sum(wanted(e) for e in examples if e.split == split) for split in get_args(Split)]


def _row(name: str, cells: Sequence[object]) -> str:
    return f"{name:10}" + "".join(f"{cell:>10}" for cell in cells)


def _shared_speakers(examples: Sequence[Example]) -> list[str]:
    """Return the speakers who are both in the training split and in another one."""
    trained = {e.speaker for e in examples if e.split == "train" and e.speaker}
    return sorted(speaker for speaker in {e.speaker for e in examples if e.split != "train"} if speaker in trained)

"""`python -m ml datasets list|inspect|import`."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from ml.training.datasets.contact_sheet import write_sheet
from ml.training.datasets.example import Example, Split, sorted_out
from ml.training.datasets.manifest import read_examples, write_examples
from ml.training.datasets.registry import DATA_SETS, read, scratch
from ml.vocabulary import EMOTIONS


def parser(_: str = "datasets") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml datasets", description=__doc__)
    verbs = parser.add_subparsers(required=True)
    command = verbs.add_parser("list", help="the data sets that are known, with their terms")
    command.set_defaults(run=list_known)
    command = verbs.add_parser("inspect", help="counts by class, speaker and split, and a picture of what is there")
    _add_source(command)
    command.add_argument("--sheet", type=Path, metavar="PNG", help="faces or spectrograms by label")
    command.set_defaults(run=inspect)
    command = verbs.add_parser("import", help="write the list that training and evaluation read")
    _add_source(command)
    command.add_argument("--out", type=Path, required=True, metavar="CSV")
    command.set_defaults(run=import_set)
    return parser


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help=f"{', '.join(DATA_SETS)}; or manifest, of a CSV as `import` writes it")
    command.add_argument("root", type=Path, help="the folder of the data set, as it is published")


def list_known(args: argparse.Namespace) -> None:
    for known in DATA_SETS.values():
        print(f"{known.name:17} {known.content:10} {known.terms}")


def inspect(args: argparse.Namespace) -> None:
    with scratch() as folder:
        examples, skipped = _examples(args, Path(folder))
        print(summary(examples, skipped))
        if args.sheet:
            print(f"{write_sheet(args.sheet, examples)} examples shown in {args.sheet}")


def import_set(args: argparse.Namespace) -> None:
    examples, skipped = _examples(args, args.out.parent / args.name)
    write_examples(args.out, examples)
    print(summary(examples, skipped))
    print(f"{len(examples):,} examples listed in {args.out}")


def _examples(args: argparse.Namespace, folder: Path) -> tuple[list[Example], Counter[str]]:
    found = read_examples(args.root) if args.name == "manifest" else read(args.name, args.root, folder)
    return sorted_out(found)


def summary(examples: Sequence[Example], skipped: Counter[str]) -> str:
    """Counts for people: labels by split, speakers by split, gender, and what was skipped."""
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
    shared = _on_two_sides(examples)
    lines += [f"on two sides of the split: {', '.join(shared)}"] if shared else []
    return "\n".join(lines)


def _by_split(examples: Sequence[Example], wanted: Callable[[Example], bool]) -> list[int]:
    return [sum(wanted(e) for e in examples if e.split == split) for split in get_args(Split)]


def _row(name: str, cells: Sequence[object]) -> str:
    return f"{name:10}" + "".join(f"{cell:>10}" for cell in cells)


def _on_two_sides(examples: Sequence[Example]) -> list[str]:
    """Speakers who are both trained on and measured on."""
    trained = {e.speaker for e in examples if e.split == "train" and e.speaker}
    return sorted(speaker for speaker in {e.speaker for e in examples if e.split != "train"} if speaker in trained)

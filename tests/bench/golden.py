"""`python -m tests.bench golden`: whether result documents are still what they were, over a folder of media."""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ml.errors import AffectError
from ml.inference.face.backends.base import FaceSearch
from ml.inference.pipeline.analyzer import Analyzer
from ml.paths import MODEL_STORE

KEPT_APART = ("timings", "schema_version")
"""What differs from run to run, or says nothing of the media."""
PROBABILITY, PIXELS, SECONDS = 0.02, 1.0, 0.05
"""Differences up to these are rounding: another order of additions, another thread count."""


@dataclass(frozen=True)
class Difference:
    """Of one number, or of what has no distance (`by` is infinite), at a path within a document."""

    where: str
    by: float
    bound: float


def documents(folder: Path, analyzer: Analyzer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The result document of each file that is media, or its problem."""
    for path in sorted(each for each in folder.iterdir() if each.suffix not in (".md", ".json")):
        try:
            yield path.name, json.loads(analyzer.analyze(path).model_dump_json(by_alias=True))
        except AffectError as error:
            yield path.name, {"error": error.code, "stage": error.stage}


def differences(before: Any, after: Any, where: str = "") -> Iterator[Difference]:
    """Between two documents, or parts of them."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted((before.keys() | after.keys()) - set(KEPT_APART)):
            if key in before and key in after:
                yield from differences(before[key], after[key], f"{where}.{key}")
            else:
                yield Difference(f"{where}.{key}", math.inf, 0.0)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{where}[{index}]")
    elif isinstance(before, (int, float)) and isinstance(after, (int, float)):
        yield Difference(where, abs(before - after), _bound(where))
    elif before != after:
        yield Difference(where, math.inf, 0.0)


def _bound(where: str) -> float:
    if ".box." in where or ".landmarks" in where:
        return PIXELS
    return SECONDS if where.endswith((".time", ".start", ".end", ".duration")) else PROBABILITY


def _kind(where: str) -> str:
    names = {PIXELS: "pixels of a box", SECONDS: "seconds", PROBABILITY: "of a probability, share or score"}
    return names[_bound(where)]


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Lines for each file: the greatest differences by kind, and everything beyond its bound."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        found = list(differences(before.get(name), after.get(name)))
        greatest: dict[str, float] = {}
        for each in found:
            if math.isfinite(each.by):
                greatest[_kind(each.where)] = max(greatest.get(_kind(each.where), 0.0), each.by)
        told = ", ".join(f"{by:.2g} {kind}" for kind, by in greatest.items())
        beyond = [each for each in found if each.by > each.bound]
        lines.append(f"{name}: at most {told or 'nothing'}; {len(beyond)} beyond tolerance")
        lines += [f"  {each.where}: {each.by:.3g}" for each in beyond[:5]]
    return lines


def main(arguments: list[str]) -> int:
    """Exit status: 1 where something differs beyond its tolerance."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench golden", description=__doc__)
    parser.add_argument("media", type=Path, help="a folder of media")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the documents there")
    parser.add_argument("--against", type=Path, metavar="DIR", help="compare with the documents that lie there")
    parser.add_argument("--store", type=Path, default=MODEL_STORE)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--face-search", choices=get_args(FaceSearch), default="graphs")
    args = parser.parse_args(arguments)
    analyzer = Analyzer.load(args.store, args.bundle, device="cpu", face_search=args.face_search)
    found = dict(documents(args.media, analyzer))
    if args.save:
        args.save.mkdir(parents=True, exist_ok=True)
        for name, document in found.items():
            (args.save / f"{name}.json").write_text(json.dumps(document, indent=1))
    if not args.against:
        return 0
    before = {path.stem: json.loads(path.read_text()) for path in args.against.glob("*.json")}
    lines = compare(before, found)
    print("\n".join(lines))
    return int(any(not line.endswith("; 0 beyond tolerance") for line in lines if not line.startswith(" ")))

"""List of examples: a CSV of labelled files, pieces of files, and sentences, in which every data set is imported."""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ml.errors import InvalidManifest
from ml.training.datasets.example import Example

COLUMNS = (
    "path",
    "text",
    "label",
    "dataset",
    "split",
    "speaker",
    "gender",
    "language",
    "start",
    "end",
    "sentiment",
    "target",
    "before",
    "dimensions",
)
_NUMBERS = ("target", "dimensions")
"""Columns of several numbers, with spaces between."""
_EXAMPLE = TypeAdapter(Example)


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write the list by one rename, with paths relative to it. Return the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging, count = path.with_name(f".{path.name}.tmp"), 0
    with staging.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for example in examples:
            table.writerow(_row(example, path.parent))
            count += 1
    os.replace(staging, path)
    return count


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a list. `label`, and `path` or `text`, are needed; the split is train by default.

    Raises InvalidManifest with the line that cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = set(table.fieldnames or ())
            if "label" not in columns or not columns & {"path", "text"}:
                raise InvalidManifest(f"{path.name} needs the columns label, and path or text")
            for row in table:
                yield _example(row, path, table.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{path} cannot be read: {error}") from error


def _row(example: Example, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(example, name) for name in COLUMNS}
    if example.path:
        row["path"] = os.path.relpath(example.path.resolve(), folder.resolve())
    for name in _NUMBERS:
        if row[name]:
            row[name] = " ".join(f"{number:.6g}" for number in row[name])
    return row


def _example(row: dict[str, str], path: Path, line: int) -> Example:
    values: dict[str, Any] = {name: row[name] for name in COLUMNS if row.get(name)}
    if not values.get("path") and not values.get("text"):
        raise InvalidManifest(f"{path.name}, line {line}: neither path nor text")
    if "path" in values:
        values["path"] = path.parent / values["path"]
    for name in _NUMBERS:
        if name in values:
            values[name] = values[name].split()
    defaults = {"label": None, "split": "train", "dataset": row.get("source") or path.stem}
    try:
        return _EXAMPLE.validate_python(defaults | values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidManifest(f"{path.name}, line {line}, {first['loc'][0]}: {first['msg']}") from error

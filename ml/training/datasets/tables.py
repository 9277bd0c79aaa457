"""Tables of data sets, and the examples that their rows become."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ml.errors import InvalidManifest
from ml.training.datasets.example import Record, SkippedRecord
from ml.training.datasets.splits import needed

Row = TypeVar("Row")


def table(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file. Raises InvalidManifest when it is not there, cannot be read, or lacks a column."""
    try:
        with needed(path).open(newline="", encoding="utf-8-sig") as file:
            yield from rows_of(file, path.name, *columns)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{path.name} cannot be read: {error}") from error


def rows_of(lines: Iterable[str], name: str, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file's lines. Raises InvalidManifest when one of the columns is missing."""
    rows = csv.DictReader(lines, restval="")
    if not set(columns) <= set(rows.fieldnames or ()):
        raise InvalidManifest(f"{name} needs the columns {', '.join(columns)}")
    yield from rows


def read_each(rows: Iterable[Row], read: Callable[[Row], Record]) -> Iterator[Record]:
    """What `read` makes of each row. It raises LookupError for a label that a map has not, and ValueError for a row of
    another form: both are skipped."""
    for number, row in enumerate(rows, 1):
        try:
            yield read(row)
        except LookupError:
            yield SkippedRecord(f"row {number}", "unknown label")
        except ValueError:
            yield SkippedRecord(f"row {number}", "row of another form")

"""CSV tables of data sets."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ml.errors import InvalidManifest
from ml.training.datasets.example import Record, SkippedRecord
from ml.training.datasets.splits import require

RowT = TypeVar("RowT")


def table(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file. Raises InvalidManifest if it does not exist, cannot be read, or lacks a column."""
    try:
        with require(path).open(newline="", encoding="utf-8-sig") as file:
            yield from rows_of(file, path.name, *columns)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{path.name} cannot be read: {error}") from error


def rows_of(lines: Iterable[str], name: str, *columns: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the lines of a CSV file. Raises InvalidManifest if a column is missing."""
    rows = csv.DictReader(lines, restval="")
    if not set(columns) <= set(rows.fieldnames or ()):
        raise InvalidManifest(f"{name} needs the columns {', '.join(columns)}")
    yield from rows


def read_each(rows: Iterable[RowT], read: Callable[[RowT], Record]) -> Iterator[Record]:
    """Yield the record that `read` returns for each row.

    Rows for which it raises LookupError (unknown label) or ValueError (malformed row) are skipped.
    """
    for number, row in enumerate(rows, 1):
        try:
            yield read(row)
        except LookupError:
            yield SkippedRecord(f"row {number}", "unknown label")
        except ValueError:
            yield SkippedRecord(f"row {number}", "row of another form")

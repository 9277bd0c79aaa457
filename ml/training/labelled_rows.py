"""Labelled rows of a manifest that models are evaluated on."""

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml.errors import InvalidManifest
from ml.languages import find_language
from ml.training.datasets.example import Split
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True)
class LabelledRow:
    """One labelled file, piece of a file, or sentence; `path` or `text` is empty.

    `index`: index of the label in `EMOTIONS`, −1 without a label. `before` (preceding sentences), `corpus`, `gender`,
    `language` (ISO 639 code) and `split` are empty if the manifest does not have them. `start` and `end`: seconds of a
    piece.
    """

    index: int
    path: Path = Path()
    text: str = ""
    before: str = ""
    corpus: str = ""
    gender: str = ""
    language: str = ""
    split: str = ""
    start: float = 0.0
    end: float | None = None

    @property
    def is_piece(self) -> bool:
        return self.start > 0 or self.end is not None


def read_rows(
    manifest: Path, column: Literal["path", "text"], splits: Collection[Split] = (), *, all_labelled: bool = True
) -> list[LabelledRow | None]:
    """Return the rows of a CSV with the columns `column` and `label`; None for a sentence without exactly one label.

    `splits`: only rows of these, if any. `all_labelled`: whether every row needs a label. Paths are relative to the
    manifest. Raises InvalidManifest if it cannot be read, a column is missing, a label is not of the vocabulary, or no
    row is of the splits.
    """
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if not {column, "label"} <= set(table.fieldnames or ()):
                raise InvalidManifest(f"{manifest.name} needs the columns {column} and label")
            rows = [
                _row(manifest, table.line_num, row, column, all_labelled=all_labelled)
                for row in table
                if not splits or row.get("split") in splits
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{manifest} cannot be read: {error}") from error
    if splits and not rows:
        raise InvalidManifest(f"no row of {manifest.name} has the split {' or '.join(splits)}")
    return rows


def _row(
    manifest: Path, line: int, row: dict[str, str], column: Literal["path", "text"], *, all_labelled: bool
) -> LabelledRow | None:
    label, content = row["label"], row[column]
    try:
        if column == "text" and not _one_label(row):
            return None
        start, end = _piece(row) if column == "path" else (0.0, None)
    except ValueError as error:
        raise InvalidManifest(f"{manifest.name}, line {line}: {error}") from error
    if label not in EMOTIONS and (label or all_labelled):
        raise InvalidManifest(f"{manifest.name}, line {line}: the label {label!r} is not one of {', '.join(EMOTIONS)}")
    if not content:
        raise InvalidManifest(f"{manifest.name}, line {line}: no {column}")
    return LabelledRow(
        EMOTIONS.index(label) if label else -1,
        path=manifest.parent / content if column == "path" else Path(),
        text=content if column == "text" else "",
        before=row.get("before") or "",
        corpus=row.get("dataset") or row.get("source") or "",
        gender=row.get("gender") or "",
        language=_language(row.get("language") or ""),
        split=row.get("split") or "",
        start=start,
        end=end,
    )


def _language(text: str) -> str:
    """Return the ISO 639 code of a language, or the text if it names none that is known."""
    return find_language(text) or text


def _one_label(row: Mapping[str, str]) -> bool:
    """Return whether a sentence has exactly one label, and not only a sentiment. Raises ValueError."""
    shares = (row.get("target") or "").split()
    if shares:
        return max(map(float, shares)) == 1
    return bool(row["label"] or not row.get("sentiment"))


def _piece(row: Mapping[str, str]) -> tuple[float, float | None]:
    """Return start and end in seconds; None as the end is that of the file. Raises ValueError."""
    start = float(row.get("start") or 0)
    end = float(row["end"]) if row.get("end") else None
    if not 0 <= start < (math.inf if end is None else end):
        raise ValueError(f"there is nothing from {start:g} to {end} seconds")
    return start, end

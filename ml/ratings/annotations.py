"""Annotations of other tools, as intervals with labels: ELAN (EAF), Praat (TextGrid), and tables (CSV).

What a file says is read as it stands; `importing` decides what of it is a rating. Files come from strangers: their size
and number are limited, and a document type, with it every entity, is refused.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ml.errors import InvalidRatings, UnsupportedRatings, UnsupportedTranscript
from ml.ratings.eaf_reader import read_eaf
from ml.ratings.interval import Annotation
from ml.ratings.textgrid_reader import read_textgrid
from ml.reports.caption_encoding import decode_transcript

MAX_BYTES = 8 << 20
"""Maximum bytes of a file."""
MAX_ANNOTATIONS = 20_000
MAX_COLUMNS = 64
ACCEPTED = "ELAN (EAF), Praat (TextGrid), or CSV with the columns start, end and emotion"

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "start": ("start", "begin", "onset", "start_time", "begin time - ss.msec", "time", "tmin"),
    "end": ("end", "offset", "end_time", "end time - ss.msec", "stop", "tmax"),
    "label": ("emotion", "label", "rating", "annotation", "value", "text"),
    "rater": ("rater", "annotator", "coder", "rater_id"),
    "person": ("person", "participant", "speaker"),
    "comment": ("comment", "remark", "note"),
    "tier": ("tier",),
}
"""Names of columns, in lower case, by what they hold."""


@dataclass(frozen=True)
class _Format:
    name: str
    matches: Callable[[str], bool]
    read: Callable[[str], Iterator[Annotation]]


def read_annotations(data: bytes) -> list[Annotation]:
    """Return the annotations of a file, in its order. The content decides the format.

    Raises UnsupportedRatings for another format; InvalidRatings if the file is damaged, too large or too long.
    """
    if len(data) > MAX_BYTES:
        raise InvalidRatings(f"The file has more than {MAX_BYTES} bytes.")
    try:
        text = decode_transcript(data).lstrip("\ufeff")
    except UnsupportedTranscript as error:
        raise UnsupportedRatings(f"This kind of file is not supported. Send {ACCEPTED}.") from error
    for format in _FORMATS:
        if format.matches(text):
            annotations = []
            for annotation in format.read(text):
                annotations.append(annotation)
                if len(annotations) > MAX_ANNOTATIONS:
                    raise InvalidRatings(f"The file has more than {MAX_ANNOTATIONS} annotations.")
            return annotations
    raise UnsupportedRatings(f"This kind of file is not supported. Send {ACCEPTED}.")


def _is_table(text: str) -> bool:
    head = text.lstrip("\r\n").partition("\n")[0].lower()
    return all(
        any(re.search(rf"\b{re.escape(name)}\b", head) for name in _COLUMNS[column]) for column in ("start", "label")
    )


def _read_table(text: str) -> Iterator[Annotation]:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        columns = _columns(next(rows))
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _row(columns, row, rows.line_num)
    except csv.Error as error:
        raise InvalidRatings("The table is damaged.") from error


def _columns(head: list[str]) -> dict[str, int]:
    if len(head) > MAX_COLUMNS:
        raise InvalidRatings(f"The table has more than {MAX_COLUMNS} columns.")
    names = [name.strip().lower() for name in head]
    found = {
        column: names.index(name) for column, known in _COLUMNS.items() for name in reversed(known) if name in names
    }
    if not {"start", "label"} <= set(found):
        raise InvalidRatings("The table needs the columns start, end and emotion.")
    return found


def _row(columns: Mapping[str, int], row: list[str], line: int) -> Annotation:
    def cell(column: str) -> str:
        place = columns.get(column)
        return row[place].strip() if place is not None and place < len(row) else ""

    try:
        start = seconds_in(cell("start"))
        end = seconds_in(cell("end")) if cell("end") else None
    except ValueError as error:
        raise InvalidRatings(f"Line {line}: a time is no number of seconds.") from error
    return Annotation(
        tier=cell("tier"),
        start=start,
        end=end,
        label=cell("label"),
        rater=cell("rater"),
        person=cell("person"),
        comment=cell("comment"),
    )


def seconds_in(text: str) -> float:
    """Return a number of seconds, or a clock time (`1:02:03.5`). Raises ValueError."""
    if len(text) > 32:
        raise ValueError("too long")
    seconds = 0.0
    for part in text.replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    if not 0 <= seconds < 1e6:
        raise ValueError("out of range")
    return seconds


_FORMATS = (
    _Format("EAF", lambda text: "<ANNOTATION_DOCUMENT" in text[:4096] or text.lstrip().startswith("<"), read_eaf),
    _Format("TextGrid", lambda text: "ooTextFile" in text[:256], read_textgrid),
    _Format("CSV", _is_table, _read_table),
)

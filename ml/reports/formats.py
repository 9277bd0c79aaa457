"""The export formats.

To add a format, write a module in this package with a function from a `Report` to text, and add a row to `FORMATS`. The
API (`format=NAME`, `Accept`), the command line (`--NAME PATH`) and the tests of all formats use that table; `make
generate` writes the page's and the README's copies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ml.reports.eaf import eaf
from ml.reports.movements import movements_csv
from ml.reports.plain_text import plain_text
from ml.reports.report import Report
from ml.reports.rttm import rttm
from ml.reports.subtitles import srt, vtt, window_cues
from ml.reports.tables import bursts_csv, faces_csv, moments_csv, people_csv, windows_csv, words_csv
from ml.reports.textgrid import textgrid

Rows = Literal["windows", "faces", "moments", "words", "people", "bursts", "movements", "speech"]
ROWS: Mapping[Rows, str] = {
    "windows": "one per window",
    "faces": "one per face and frame",
    "moments": "one per moment",
    "words": "one per word, with its count",
    "people": "one per person, with times of talk and overlaps",
    "bursts": "one per laugh, sigh, cough or other vocal burst",
    "movements": "one per face and frame, with the option `movements`; columns as of OpenFace and py-feat",
    "speech": "one per sentence, and for the emotions in pauses",
}
"""Meaning of each choice of rows of a table, or of cues of subtitles."""

Writer = Callable[[Report], str]


@dataclass(frozen=True)
class ExportFormat:
    """A format of a result, always in UTF-8.

    Attributes:
        title: display name.
        button: name and description on the button of the page.
        media_type: value of the `Content-Type` header.
        suffix: extension of the file name.
        writers: function for each choice of rows; the first is the default.
    """

    title: str
    button: tuple[str, str]
    media_type: str
    suffix: str
    writers: Mapping[Rows, Writer]

    @property
    def default(self) -> Rows:
        return next(iter(self.writers))


def _of_one(writer: Callable[[Sequence[Report]], str]) -> Writer:
    """Adapt a writer of several reports to a single one."""
    return lambda report: writer([report])


TABLES: Mapping[Rows, Callable[[Sequence[Report]], str]] = {
    "windows": windows_csv,
    "faces": faces_csv,
    "moments": moments_csv,
    "words": words_csv,
    "people": people_csv,
    "movements": movements_csv,
    "bursts": bursts_csv,
}
"""Tables of one or several results, whose names a row has."""

FORMATS: Mapping[str, ExportFormat] = {
    "csv": ExportFormat(
        "CSV table",
        ("CSV", "One row per window"),
        "text/csv",
        "csv",
        {rows: _of_one(writer) for rows, writer in TABLES.items()},
    ),
    "vtt": ExportFormat(
        "WebVTT subtitles",
        ("WebVTT", "Subtitles with emotions"),
        "text/vtt",
        "vtt",
        {"speech": vtt, "windows": lambda report: vtt(report, window_cues)},
    ),
    "srt": ExportFormat(
        "SubRip subtitles",
        ("SubRip", "Subtitles with emotions"),
        "application/x-subrip",
        "srt",
        {"speech": srt, "windows": lambda report: srt(report, window_cues)},
    ),
    "eaf": ExportFormat("ELAN annotations", ("ELAN", "Annotation tiers"), "text/x-eaf+xml", "eaf", {"windows": eaf}),
    "textgrid": ExportFormat(
        "Praat TextGrid", ("Praat", "TextGrid tiers"), "text/praat-textgrid", "TextGrid", {"windows": textgrid}
    ),
    "rttm": ExportFormat("RTTM speaker turns", ("RTTM", "Who speaks when"), "text/x-rttm", "rttm", {"speech": rttm}),
    "txt": ExportFormat("plain text", ("Text", "Plain-text summary"), "text/plain", "txt", {"windows": plain_text}),
}
"""The formats by the name that callers use, in the order in which they are offered."""

if TYPE_CHECKING:
    FormatName = str  # a type checker cannot read the keys of a table
else:
    FormatName = Literal[tuple(FORMATS)]

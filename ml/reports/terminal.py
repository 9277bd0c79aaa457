"""Results on a terminal: colours, a progress bar, a table of several files."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from ml.reports.palette import TERMINAL
from ml.reports.plain_text import Paint, bar, kind_told, unpainted
from ml.reports.report import Report, plain
from ml.results import Reading
from ml.vocabulary import Stage

LONGEST_NAME = 32
_BAR = 24


def paint_for(stream: TextIO, environment: Mapping[str, str]) -> Paint:
    """Colours where the stream is a terminal that has them, unless NO_COLOR is set (https://no-color.org)."""
    plainly = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return unpainted if plainly or not stream.isatty() else _painted


def _painted(text: str, reading: Reading) -> str:
    if not text or reading.emotion is None:
        return text
    return f"\x1b[38;5;{TERMINAL[reading.emotion]}m{text}\x1b[0m"


class ProgressBar:
    """An observer that shows how far an analysis is, where the stream is a terminal. Leaving it wipes the line."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream if stream.isatty() else None
        self._name, self._stage, self._share = shortened(name), "", 0.0
        self._shown = ""

    def __enter__(self) -> Self:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def stage(self, stage: Stage) -> None:
        self._stage = stage
        self._show()

    def spent(self, stage: Stage, seconds: float) -> None:
        return None

    def progress(self, fraction: float) -> None:
        self._share = fraction
        self._show()

    def check(self) -> None:
        """Ctrl-C stops this process: there is nothing to look up."""

    def _show(self) -> None:
        full = round(self._share * _BAR)
        line = f"{self._name}  {'█' * full}{'░' * (_BAR - full)} {self._share:4.0%}  {self._stage}".rstrip()
        if self._stream and line != self._shown:
            self._shown = line
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()


def row(report: Report, paint: Paint) -> str:
    """A file of a folder: its name, its overall reading, what it is, and how many notes there are."""
    notes = len(report.result.warnings)
    told = [kind_told(report.result.media), *([f"{notes} note{'s' * (notes > 1)}"] if notes else [])]
    return f"{shortened(report.name):{LONGEST_NAME}}  {bar(report.result.overall, paint)}  {', '.join(told)}"


def refused_row(name: str, message: str) -> str:
    """A file that could not be read."""
    return f"{shortened(name):{LONGEST_NAME}}  not read: {plain(message)}"


def shortened(name: str) -> str:
    """A name that fits a column: its begin and its end."""
    line = plain(name)
    half = (LONGEST_NAME - 1) // 2
    return line if len(line) <= LONGEST_NAME else f"{line[:half]}…{line[-half:]}"

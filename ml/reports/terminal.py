"""Results on a terminal: colours, a progress bar, and a line for each of several files."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from ml.reports.palette import TERMINAL_COLOURS
from ml.reports.plain_text import Colouring, media_text, reading_bar, without_colour
from ml.reports.report import Report, sanitize
from ml.results import Reading
from ml.vocabulary import Stage

MAX_NAME_LENGTH = 32
_BAR_FORMAT = "{bar:24} {percentage:3.0f}%  {desc}"


def colouring_for(stream: TextIO, environment: Mapping[str, str]) -> Colouring:
    """Return a function that adds colours if the stream is a terminal that has them, unless NO_COLOR is set
    (https://no-color.org)."""
    without = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return without_colour if without or not stream.isatty() else _with_colour


def _with_colour(text: str, reading: Reading) -> str:
    if not text or reading.emotion is None:
        return text
    return f"\x1b[38;5;{TERMINAL_COLOURS[reading.emotion]}m{text}\x1b[0m"


class ProgressBar:
    """Progress listener that displays a bar if the stream is a terminal. A context manager: leaving it clears the
    line."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._name = shorten(name)
        self._bar = tqdm(
            total=1.0,
            desc=self._name,
            file=stream,
            disable=not stream.isatty(),
            leave=False,
            bar_format=_BAR_FORMAT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def stage(self, stage: Stage) -> None:
        self._bar.set_description_str(f"{self._name}: {stage}")

    def spent(self, stage: Stage, seconds: float) -> None:
        return None

    def progress(self, fraction: float) -> None:
        self._bar.update(fraction - self._bar.n)

    def check(self) -> None:
        """Do nothing: Ctrl-C stops this process."""


def file_row(report: Report, colouring: Colouring) -> str:
    """Return a line about one file of a folder: name, overall reading, properties, and number of warnings."""
    count = len(report.result.warnings)
    details = [media_text(report.result.media), *([f"{count} warning{'s' * (count > 1)}"] if count else [])]
    reading = reading_bar(report.result.overall, colouring)
    return f"{shorten(report.name):{MAX_NAME_LENGTH}}  {reading}  {', '.join(details)}"


def error_row(name: str, message: str) -> str:
    """Return a line about a file of a folder that could not be analysed."""
    return f"{shorten(name):{MAX_NAME_LENGTH}}  not analysed: {sanitize(message)}"


def shorten(name: str) -> str:
    """Return a name that fits a column: its beginning and its end."""
    line = sanitize(name)
    half = (MAX_NAME_LENGTH - 1) // 2
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[:half]}…{line[-half:]}"

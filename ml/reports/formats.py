"""Which formats a result can be written in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ml.reports.eaf import eaf
from ml.reports.plain_text import prose
from ml.reports.report import Report
from ml.reports.subtitles import srt, vtt, window_cues
from ml.reports.tables import faces_csv, moments_csv, windows_csv, words_csv
from ml.reports.textgrid import textgrid

FormatName = Literal["csv", "vtt", "srt", "eaf", "textgrid", "txt"]
FORMAT_NAMES: tuple[FormatName, ...] = get_args(FormatName)
Rows = Literal["windows", "faces", "moments", "words", "speech"]
"""What a row of a table, or a cue of subtitles, stands for."""

Writer = Callable[[Report], str]


@dataclass(frozen=True)
class Format:
    """How a result is written, in UTF-8. `writers`: by what is asked for; the first unless something is."""

    title: str
    media_type: str
    suffix: str
    writers: Mapping[Rows, Writer]

    @property
    def default(self) -> Rows:
        return next(iter(self.writers))


def _alone(writer: Callable[[Sequence[Report]], str]) -> Writer:
    return lambda report: writer([report])


FORMATS: Mapping[FormatName, Format] = {
    "csv": Format(
        "CSV table",
        "text/csv",
        "csv",
        {
            "windows": _alone(windows_csv),
            "faces": _alone(faces_csv),
            "moments": _alone(moments_csv),
            "words": _alone(words_csv),
        },
    ),
    "vtt": Format(
        "WebVTT subtitles",
        "text/vtt",
        "vtt",
        {"speech": vtt, "windows": lambda report: vtt(report, window_cues)},
    ),
    "srt": Format(
        "SubRip subtitles",
        "application/x-subrip",
        "srt",
        {"speech": srt, "windows": lambda report: srt(report, window_cues)},
    ),
    "eaf": Format("ELAN annotations", "text/x-eaf+xml", "eaf", {"windows": eaf}),
    "textgrid": Format("Praat TextGrid", "text/praat-textgrid", "TextGrid", {"windows": textgrid}),
    "txt": Format("plain text", "text/plain", "txt", {"windows": prose}),
}

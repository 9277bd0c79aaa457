"""Speech of each person, as Rich Transcription Time Marked (NIST RT-09 evaluation plan, appendix A)."""

import re
from pathlib import PurePath

from ml.reports.people import display_names
from ml.reports.report import Report, sanitize

_CHANNEL = 1
_UNKNOWN = "<NA>"


def rttm(report: Report) -> str:
    """Return a line for each stretch of speech, in order of time; empty without people. Fields have no spaces: those of
    names become underscores."""
    names, file = display_names(report.result), _field(PurePath(report.name).stem)
    turns = [(span.start, span.end, person.person) for person in report.result.people for span in person.speech]
    lines = (
        f"SPEAKER {file} {_CHANNEL} {start:.3f} {max(end - start, 0.001):.3f} {_UNKNOWN} {_UNKNOWN} "
        f"{_field(names[number])} {_UNKNOWN} {_UNKNOWN}\n"
        for start, end, number in sorted(turns)
    )
    return "".join(lines)


def _field(text: str) -> str:
    return re.sub(r"[\s;]+", "_", sanitize(text)) or _UNKNOWN

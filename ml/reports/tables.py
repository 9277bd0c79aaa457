"""Tidy tables as CSV (RFC 4180, UTF-8): one header, one row for each thing, one column for each of its values.

Each row names its file, so tables of several results can be put under each other. A cell of text that a spreadsheet
would take for a formula begins with an apostrophe.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO

from ml.reports.interval_index import Axis
from ml.reports.report import Report, Voice, moment_told, plain, voices_of
from ml.results import Probabilities, Result, Window
from ml.vocabulary import MODALITIES, SENTIMENTS

Cell = str | float | int | None
Row = Mapping[str, Cell]

_FORMULA = re.compile(r"[=+\-@＝＋－＠]")
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


def windows_csv(reports: Sequence[Report]) -> str:
    """One row for each window; the rows of an audio channel follow those of the whole and name it.

    An image has no windows: one row without times tells its overall reading. Where nothing could be read `emotion` is
    empty; where a modality is missing its columns are.
    """
    labels = _labels(reports)
    columns = ["file", "channel", "start", "end", "emotion", "confidence", *labels]
    for modality, share in (("face", "coverage"), ("audio", "speech")):
        columns += [f"{modality}_{share}", *(f"{modality}_{label}" for label in labels)]
    columns += [f"text_{label}" for label in labels] + [f"sentiment_{name}" for name in SENTIMENTS]
    columns += ["transcript", "missing", "moments"]
    return _csv(columns, (row for report in reports for row in _window_rows(report)))


def faces_csv(reports: Sequence[Report]) -> str:
    """One row for each face in each sampled frame; boxes are pixels of the original frame."""
    columns = ["file", "track", "time", "x", "y", "width", "height", "score", "emotion", *_labels(reports)]
    return _csv(columns, (row for report in reports for row in _face_rows(report)))


def moments_csv(reports: Sequence[Report]) -> str:
    """One row for each moment, in order of time; `rank` 1 is the strongest."""
    columns = ["file", "time", "rank", "kind", "from", "to", "score", *(f"by_{modality}" for modality in MODALITIES)]
    return _csv(columns, (row for report in reports for row in _moment_rows(report)))


def words_csv(reports: Sequence[Report]) -> str:
    """One row for each word of the transcripts together, the most frequent first; upper case is lower case."""
    counts = Counter(
        word.casefold() for report in reports for word in _WORD.findall(plain(report.result.transcript.text))
    )
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = ({"word": word, "count": count, "share": count / total} for word, count in ordered)
    return _csv(["word", "count", "share"], rows)


def safe_cell(text: str) -> str:
    """Text in one line, which no spreadsheet takes for a formula."""
    line = plain(text)
    return f"'{line}" if _FORMULA.match(line) else line


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    out = StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe_cell(cell) if isinstance(cell, str) else cell for name, cell in row.items()})
    return out.getvalue()


def _labels(reports: Sequence[Report]) -> list[str]:
    """The labels of all the results, in their order."""
    return list(dict.fromkeys(label for report in reports for label in report.result.labels))


def _window_rows(report: Report) -> Iterator[Row]:
    result = report.result
    if result.media.kind == "image":
        overall = result.overall
        yield {
            "file": report.name,
            "emotion": overall.emotion,
            "confidence": overall.confidence,
        } | overall.probabilities
    for voice in voices_of(result):
        moments = _moments_by_window(result, voice)
        for window in voice.windows:
            yield {"file": report.name, "channel": voice.channel, "moments": moments.get(window.start)} | _cells(window)


def _moments_by_window(result: Result, voice: Voice) -> dict[float, str]:
    """What happens in a window, by its start. Moments are those of the whole."""
    axis = Axis(voice.windows)
    found: dict[float, list[str]] = {}
    for moment in result.moments if voice.channel is None else ():
        if window := axis.at(moment.time):
            found.setdefault(window.start, []).append(moment_told(moment))
    return {start: "; ".join(told) for start, told in found.items()}


def _cells(window: Window) -> dict[str, Cell]:
    face, audio, text = window.modalities.face, window.modalities.audio, window.modalities.text
    row: dict[str, Cell] = {
        "start": window.start,
        "end": window.end,
        "emotion": window.emotion,
        "confidence": window.confidence,
        "missing": " ".join(window.missing),
        **window.probabilities,
    }
    if face:
        row |= {"face_coverage": face.coverage} | _prefixed("face", face.probabilities)
    if audio:
        row |= {"audio_speech": audio.speech} | _prefixed("audio", audio.probabilities)
    if text:
        row |= {"transcript": text.transcript} | _prefixed("text", text.probabilities)
        row |= _prefixed("sentiment", text.sentiment)
    return row


def _prefixed(prefix: str, probabilities: Probabilities) -> dict[str, Cell]:
    return {f"{prefix}_{label}": value for label, value in probabilities.items()}


def _face_rows(report: Report) -> Iterator[Row]:
    for track in report.result.faces:
        for frame in track.frames:
            yield {
                "file": report.name,
                "track": track.track,
                "time": frame.time,
                **frame.box.model_dump(),
                "score": frame.score,
                "emotion": frame.emotion,
                **frame.probabilities,
            }


def _moment_rows(report: Report) -> Iterator[Row]:
    moments = report.result.moments
    strongest = sorted(range(len(moments)), key=lambda index: -moments[index].score)
    ranks = {index: rank for rank, index in enumerate(strongest, 1)}
    for index, moment in enumerate(moments):
        yield {
            "file": report.name,
            "time": moment.time,
            "rank": ranks[index],
            "kind": moment.kind,
            "from": moment.from_,
            "to": moment.to,
            "score": moment.score,
            **{f"by_{modality}": int(modality in moment.why) for modality in MODALITIES},
        }

"""Tables as CSV (RFC 4180, UTF-8): one header, one row for each item, one column for each of its values.

A column has the name of its field in the result document; a field of one modality begins with the modality. Each row
names its file, so that tables of several results can be concatenated. Text is quoted, a missing value is an empty cell.
An apostrophe precedes what a spreadsheet would take for a formula, also after a semicolon within a text: in many
countries spreadsheets split the lines of a table there, and then quotes do not hold a text together.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ml.reports.interval_index import IntervalIndex
from ml.reports.people import display_names, talk_times
from ml.reports.report import ChannelTrack, Report, channel_tracks, moment_text, sanitize
from ml.results import Certainty, Probabilities, Result, Window
from ml.scripts import plain_words
from ml.vocabulary import MODALITIES, SENTIMENTS

Cell = str | float | int | None
Row = Mapping[str, Cell]

_FORMULA_START = re.compile(r"""(^|;)(?=[\s"']*[=+\-@＝＋－＠])""")
"""Place in a text, at its start or after a semicolon, that a spreadsheet could take for the start of a formula."""
_SET_COLUMNS = ("labels_90", "uncertain")
_DIMENSION_COLUMNS = ("valence", "arousal", "dimensions_source")
_PERSON_COLUMNS = ("person", "person_name")
"""Number and display name of a person: the last columns of each table of items that have one."""


def windows_csv(reports: Sequence[Report]) -> str:
    """Return one row for each window of the whole media, then those of each audio channel, which name it.

    An image has no windows: one row without times has its overall reading. Without evidence `emotion` is empty; the
    columns of a missing modality are empty.
    """
    labels = _labels(reports)
    columns = ["file", "channel", "start", "end", "emotion", "confidence", *_probability_columns("", labels)]
    columns += ["face_coverage", *_probability_columns("face_", labels)]
    columns += ["audio_speech", *_probability_columns("audio_", labels)]
    columns += [*_probability_columns("text_", labels), *(f"text_sentiment_{name}" for name in SENTIMENTS)]
    columns += ["text_transcript", "missing", "moments", *_SET_COLUMNS]
    columns += [f"{modality}_labels_90" for modality in MODALITIES]
    columns += [*_DIMENSION_COLUMNS, *(f"{modality}_{name}" for modality in MODALITIES for name in _DIMENSION_COLUMNS)]
    columns += ["text_dominance", *_person_columns(reports)]
    return write_csv(columns, (row for report in reports for row in _window_rows(report)))


def faces_csv(reports: Sequence[Report]) -> str:
    """Return one row for each face in each sampled frame. Boxes are in pixels of the original frame."""
    columns = ["file", "track", "time", "x", "y", "width", "height", "score", "emotion"]
    columns += [*_probability_columns("", _labels(reports)), *_SET_COLUMNS, *_DIMENSION_COLUMNS]
    columns += _person_columns(reports)
    return write_csv(columns, (row for report in reports for row in _face_rows(report)))


def moments_csv(reports: Sequence[Report]) -> str:
    """Return one row for each moment, in order of time. `rank` 1 is the strongest."""
    columns = ["file", "time", "rank", "kind", "from", "to", "score", *(f"why_{modality}" for modality in MODALITIES)]
    columns += _person_columns(reports)
    return write_csv(columns, (row for report in reports for row in _moment_rows(report)))


def bursts_csv(reports: Sequence[Report]) -> str:
    """Return one row for each vocal burst, in order of time."""
    columns = ["file", "start", "end", "kind", "score", *_person_columns(reports)]
    return write_csv(columns, (row for report in reports for row in _burst_rows(report)))


def people_csv(reports: Sequence[Report]) -> str:
    """Return one row for each person: how long they are seen and talk, and how they come across.

    `talk_share` is of the talk of all people (empty in a report of one person), `turns` the number of stretches of
    speech, `overlap_seconds` the time in which another person talks too, and `overlaps` the seconds shared with each
    other person: `2:1.25 3:0.5`. `tracks` are the numbers of the person's face tracks.
    """
    columns = ["file", "person", "name", "match", "tracks", "seen_seconds", "talk_seconds", "talk_share", "turns"]
    columns += ["overlap_seconds", "overlaps", "emotion", "confidence", *_probability_columns("", _labels(reports))]
    columns += [*_SET_COLUMNS, *_DIMENSION_COLUMNS]
    return write_csv(columns, (row for report in reports for row in _people_rows(report)))


def words_csv(reports: Sequence[Report]) -> str:
    """Return one row for each word of all transcripts together, the most frequent first, regardless of case."""
    counts = Counter(
        word.casefold() for report in reports for word in plain_words(sanitize(report.result.transcript.text))
    )
    total = counts.total()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows: Iterator[Row] = ({"word": word, "count": count, "share": count / total} for word, count in ordered)
    return write_csv(["word", "count", "share"], rows)


def safe_cell(text: str) -> str:
    """Return the text as one line in which no spreadsheet finds a formula, even if it splits the text at semicolons."""
    return _FORMULA_START.sub(r"\1'", sanitize(text))


def write_csv(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Return a table; a row without one of the columns has an empty cell there."""
    lines = [",".join(map(_format_cell, columns))]
    lines += [",".join(_format_cell(row.get(name)) for name in columns) for row in rows]
    return "".join(f"{line}\r\n" for line in lines)


def _format_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return '"' + safe_cell(cell).replace('"', '""') + '"'
    return "" if cell is None else str(cell)


def _labels(reports: Sequence[Report]) -> list[str]:
    """Return the labels of all results, in their order."""
    return list(dict.fromkeys(label for report in reports for label in report.result.labels))


def _probability_columns(prefix: str, labels: Iterable[str]) -> list[str]:
    return [f"{prefix}probability_{label}" for label in labels]


def _probability_cells(prefix: str, probabilities: Probabilities) -> dict[str, Cell]:
    return dict(zip(_probability_columns(prefix, probabilities), probabilities.values(), strict=True))


def _set_cells(reading: Certainty) -> dict[str, Cell]:
    """Return the labels, the most probable first, and 1 if there are more than two; nothing if they are unknown."""
    if reading.labels_90 is None:
        return dict.fromkeys(_SET_COLUMNS)
    return {"labels_90": " ".join(reading.labels_90), "uncertain": int(bool(reading.uncertain))}


def _dimension_cells(reading: Certainty, prefix: str = "") -> dict[str, Cell]:
    """Return valence, arousal and where they come from; nothing if they are unknown."""
    own = reading.dimensions
    if own is None:
        return {}
    values = (own.valence, own.arousal, own.source)
    return {f"{prefix}{name}": value for name, value in zip(_DIMENSION_COLUMNS, values, strict=True)}


def _person_columns(reports: Sequence[Report]) -> Sequence[str]:
    """Return the columns that name a person; none if no result has people."""
    return _PERSON_COLUMNS if any(report.result.people for report in reports) else ()


def _person_cells(person: int | None, names: Mapping[int, str]) -> dict[str, Cell]:
    return dict(zip(_PERSON_COLUMNS, (person, names.get(person or 0)), strict=True))


def _people_rows(report: Report) -> Iterator[Row]:
    times = talk_times(report.result.people)
    for person in report.result.people:
        time = times[person.person]
        yield {
            "file": report.name,
            "person": person.person,
            "name": person.name,
            "match": person.match,
            "tracks": " ".join(map(str, person.tracks)),
            "seen_seconds": person.seen_seconds,
            "talk_seconds": person.talk_seconds,
            "talk_share": None if time.share is None else round(time.share, 6),
            "turns": time.turns,
            "overlap_seconds": round(time.overlap_seconds, 3),
            "overlaps": " ".join(f"{other}:{round(seconds, 3)}" for other, seconds in time.overlaps.items()),
            "emotion": person.overall.emotion,
            "confidence": person.overall.confidence,
            **_probability_cells("", person.overall.probabilities),
            **_set_cells(person.overall),
            **_dimension_cells(person.overall),
        }


def _window_rows(report: Report) -> Iterator[Row]:
    result, names = report.result, display_names(report.result)
    if result.media.kind == "image":
        overall = result.overall
        yield {
            "file": report.name,
            "emotion": overall.emotion,
            "confidence": overall.confidence,
            **_probability_cells("", overall.probabilities),
            **_set_cells(overall),
            **_dimension_cells(overall),
        }
    for track in channel_tracks(result):
        moments = _moments_by_window(result, track)
        for window in track.windows:
            cells = _window_cells(window) | _person_cells(window.person, names)
            yield {"file": report.name, "channel": track.channel, "moments": moments.get(window.start), **cells}


def _moments_by_window(result: Result, track: ChannelTrack) -> dict[float, str]:
    """Return the moments in each window, by its start. Moments are those of the whole media."""
    index, names = IntervalIndex(track.windows), display_names(result)
    moments: dict[float, list[str]] = {}
    for moment in result.moments if track.channel is None else ():
        if window := index.nearest(moment.time):
            moments.setdefault(window.start, []).append(moment_text(moment, names))
    return {start: "; ".join(texts) for start, texts in moments.items()}


def _window_cells(window: Window) -> dict[str, Cell]:
    face, audio, text = window.modalities.face, window.modalities.audio, window.modalities.text
    cells: dict[str, Cell] = {
        "start": window.start,
        "end": window.end,
        "emotion": window.emotion,
        "confidence": window.confidence,
        "missing": " ".join(window.missing),
        **_probability_cells("", window.probabilities),
        **_set_cells(window),
        **_dimension_cells(window),
    }
    for modality in MODALITIES:
        if reading := getattr(window.modalities, modality):
            cells[f"{modality}_labels_90"] = _set_cells(reading)["labels_90"]
            cells |= _dimension_cells(reading, f"{modality}_")
    if face:
        cells |= {"face_coverage": face.coverage, **_probability_cells("face_", face.probabilities)}
    if audio:
        cells |= {"audio_speech": audio.speech, **_probability_cells("audio_", audio.probabilities)}
    if text:
        cells |= {"text_transcript": text.transcript, **_probability_cells("text_", text.probabilities)}
        cells |= {f"text_sentiment_{name}": value for name, value in text.sentiment.items()}
        cells["text_dominance"] = text.dimensions.dominance if text.dimensions else None
    return cells


def _face_rows(report: Report) -> Iterator[Row]:
    names = display_names(report.result)
    for track in report.result.faces:
        for frame in track.frames:
            yield {
                "file": report.name,
                "track": track.track,
                "time": frame.time,
                **frame.box.model_dump(),
                "score": frame.score,
                "emotion": frame.emotion,
                **_probability_cells("", frame.probabilities),
                **_set_cells(frame),
                **_dimension_cells(frame),
                **_person_cells(track.person, names),
            }


def _burst_rows(report: Report) -> Iterator[Row]:
    names = display_names(report.result)
    for burst in report.result.bursts:
        values = burst.model_dump(include={"start", "end", "kind", "score"})
        yield {"file": report.name, **values, **_person_cells(burst.person, names)}


def _moment_rows(report: Report) -> Iterator[Row]:
    moments, names = report.result.moments, display_names(report.result)
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
            **{f"why_{modality}": int(modality in moment.why) for modality in MODALITIES},
            **_person_cells(moment.person, names),
        }

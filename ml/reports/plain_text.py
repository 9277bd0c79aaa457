"""A result as plain text: a timeline for people to read."""

from collections.abc import Callable, Iterator
from itertools import chain

from ml.reports.people import display_names, talk_times
from ml.reports.report import (
    DISCLAIMER,
    Report,
    burst_text,
    certainty_text,
    channel_tracks,
    moment_text,
    overall_name,
    reading_text,
    sanitize,
)
from ml.reports.sentences import by_speaker
from ml.results import Media, Reading, Window
from ml.vocabulary import MODALITIES, MODALITY_NAMES, channel_name

Colouring = Callable[[str, Reading], str]
"""Function that gives a piece of text the colour of a reading."""

_BAR_LENGTH = 10


def without_colour(text: str, reading: Reading) -> str:
    return text


def plain_text(report: Report, colouring: Colouring = without_colour) -> str:
    """Return a description of the file, a line for each window and for the whole, the people, the vocal bursts,
    the moments, the transcript, and the warnings."""
    parts = (
        _head(report),
        _timelines(report, colouring),
        _people(report, colouring),
        _bursts(report),
        _moments(report),
        _transcript(report),
        _warnings(report),
    )
    return "\n".join(chain.from_iterable(parts)) + "\n"


def _head(report: Report) -> Iterator[str]:
    models = report.result.models
    yield f"{sanitize(report.name)}: {media_text(report.result.media)}"
    yield f"Models: {sanitize(models.bundle)} (licence: {sanitize(models.licence)})"


def media_text(media: Media) -> str:
    """Return the properties of a file in words: `video, 640 × 360, 12.4 s`."""
    size = f", {media.width} × {media.height}" if media.width and media.height else ""
    return f"{media.kind}{size}" + (f", {media.duration:.1f} s" if media.duration is not None else "")


def _timelines(report: Report, colouring: Colouring) -> Iterator[str]:
    names = display_names(report.result)
    for track in channel_tracks(report.result):
        yield ""
        if track.name:
            yield track.name
        for window in track.windows:
            person = names.get(window.person or 0, "")
            yield _window_line(window, colouring, person) + (_quotation(window) if track.name else "")
        yield f"{overall_name(report.result.media):18}  {reading_bar(track.overall, colouring)}".rstrip()
        if certainty := certainty_text(track.overall):
            yield certainty
    if report.result.media.kind == "image":
        for face in report.result.faces:
            frame = face.frames[0]
            reading = Reading.from_probabilities(frame.probabilities).labelled(frame.labels_90)
            yield f"{f'Face {face.track}':18}  {reading_bar(reading, colouring)}".rstrip()


def _window_line(window: Window, colouring: Colouring, person: str = "") -> str:
    """Return `    2.0 –    6.0 s  ███████··· happy 77%   Ann: face happy, no words`; `person`: a name, if any."""
    reading, modalities = reading_bar(window, colouring), ", ".join(_modalities(window))
    name = f"{person}: " if person else ""
    return f"{window.start:7.1f} – {window.end:6.1f} s  {reading}  {name}{modalities}".rstrip()


def _quotation(window: Window) -> str:
    """Return the words spoken in a channel: the transcript is that of the whole media."""
    return f': "{sanitize(window.modalities.text.transcript)}"' if window.modalities.text else ""


def reading_bar(reading: Reading, colouring: Colouring) -> str:
    """Return a reading as a bar of fixed width: `████████··  happy 77%`."""
    full = round(reading.confidence * _BAR_LENGTH)
    text = colouring(f"{reading_text(reading):20}", reading)
    return f"{colouring('█' * full, reading)}{'·' * (_BAR_LENGTH - full)}  {text}"


def _modalities(window: Window) -> Iterator[str]:
    for modality in MODALITIES:
        name, reading = MODALITY_NAMES[modality].lower(), getattr(window.modalities, modality)
        if reading is not None:
            yield f"{name} {Reading.from_probabilities(reading.probabilities).emotion}"
        elif modality in window.missing:
            yield f"no {name}"


def _people(report: Report, colouring: Colouring) -> Iterator[str]:
    """Yield a line for each person, and one for each two who talk at once."""
    people, names = report.result.people, display_names(report.result)
    if not people:
        return
    times = talk_times(people)
    yield from ("", "People")
    for person in people:
        time = times[person.person]
        seen = f"seen for {person.seen_seconds:.1f} s" if person.seen_seconds else "not seen"
        share = "" if time.share is None else f" ({time.share:.0%})"
        talk = f"talks for {person.talk_seconds:.1f} s{share}" if person.talk_seconds else "does not talk"
        unsure = ", face and voice may not belong together" if person.match == "likely" else ""
        yield f"{names[person.person]:18}  {reading_bar(person.overall, colouring)}  {seen}, {talk}{unsure}"
    for number, time in times.items():
        for other, seconds in time.overlaps.items():
            if number < other:
                yield f"{names[number]} and {names[other]} talk at once for {seconds:.1f} s"


def _moments(report: Report) -> Iterator[str]:
    """Yield the moments, the strongest first."""
    names = display_names(report.result)
    moments = sorted(report.result.moments, key=lambda moment: -moment.score)
    if moments:
        yield from ("", "Moments")
        yield from (f"{moment.time:7.1f} s  {moment.score:4.0%}  {moment_text(moment, names)}" for moment in moments)


def _bursts(report: Report) -> Iterator[str]:
    """Yield the vocal bursts in order of time."""
    names = display_names(report.result)
    if report.result.bursts:
        yield from ("", "Sounds")
        for burst in report.result.bursts:
            yield f"{burst.start:7.1f} – {burst.end:6.1f} s  {burst.score:4.0%}  {burst_text(burst, names)}"


def _transcript(report: Report) -> Iterator[str]:
    transcript, names = report.result.transcript, display_names(report.result)
    if transcript.segments or transcript.text.strip():
        source = "auto-generated" if transcript.source == "whisper" else "supplied"
        language = f", {sanitize(transcript.language)}" if transcript.language else ""
        yield from ("", f"Transcript ({source}{language})")
        for segment in by_speaker(transcript):
            channel = "" if segment.channel is None else channel_name(segment.channel)
            speaker = names.get(segment.person or 0, channel)
            line = f"{speaker}: {sanitize(segment.text)}" if speaker else sanitize(segment.text)
            yield f"{segment.start:7.1f} – {segment.end:6.1f} s  {line}"
        if not transcript.segments:
            yield sanitize(transcript.text)


def _warnings(report: Report) -> Iterator[str]:
    yield ""
    yield from (f"Warning: {sanitize(warning.message)}" for warning in report.result.warnings)
    yield DISCLAIMER

"""A result as plain text: a timeline for people to read."""

from collections.abc import Callable, Iterator
from itertools import chain

from ml.reports.report import (
    DISCLAIMER,
    Report,
    certainty_text,
    channel_tracks,
    moment_text,
    overall_name,
    reading_text,
    sanitize,
)
from ml.results import Media, Reading, Window
from ml.vocabulary import MODALITIES, MODALITY_NAMES, channel_name

Colouring = Callable[[str, Reading], str]
"""Function that gives a piece of text the colour of a reading."""

_BAR_LENGTH = 10


def without_colour(text: str, reading: Reading) -> str:
    return text


def plain_text(report: Report, colouring: Colouring = without_colour) -> str:
    """Return a description of the file, a line for each window and for the whole, the moments, the transcript, and the
    warnings."""
    parts = (
        _head(report),
        _timelines(report, colouring),
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
    for track in channel_tracks(report.result):
        yield ""
        if track.name:
            yield track.name
        for window in track.windows:
            yield _window_line(window, colouring) + (_quotation(window) if track.name else "")
        yield f"{overall_name(report.result.media):18}  {reading_bar(track.overall, colouring)}".rstrip()
        if certainty := certainty_text(track.overall):
            yield certainty
    if report.result.media.kind == "image":
        for face in report.result.faces:
            frame = face.frames[0]
            reading = Reading.from_probabilities(frame.probabilities).labelled(frame.labels_90)
            yield f"{f'Face {face.track}':18}  {reading_bar(reading, colouring)}".rstrip()


def _window_line(window: Window, colouring: Colouring) -> str:
    """Return `    2.0 –    6.0 s  ███████··· happy 77%   face happy, voice neutral, no words`."""
    reading, modalities = reading_bar(window, colouring), ", ".join(_modalities(window))
    return f"{window.start:7.1f} – {window.end:6.1f} s  {reading}  {modalities}".rstrip()


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


def _moments(report: Report) -> Iterator[str]:
    """Yield the moments, the strongest first."""
    moments = sorted(report.result.moments, key=lambda moment: -moment.score)
    if moments:
        yield from ("", "Moments")
        yield from (f"{moment.time:7.1f} s  {moment.score:4.0%}  {moment_text(moment)}" for moment in moments)


def _transcript(report: Report) -> Iterator[str]:
    transcript = report.result.transcript
    if transcript.segments or transcript.text.strip():
        source = "auto-generated" if transcript.source == "whisper" else "supplied"
        language = f", {sanitize(transcript.language)}" if transcript.language else ""
        yield from ("", f"Transcript ({source}{language})")
        for segment in transcript.segments:
            speaker = "" if segment.channel is None else f"{channel_name(segment.channel)}: "
            yield f"{segment.start:7.1f} – {segment.end:6.1f} s  {speaker}{sanitize(segment.text)}"
        if not transcript.segments:
            yield sanitize(transcript.text)


def _warnings(report: Report) -> Iterator[str]:
    yield ""
    yield from (f"Warning: {sanitize(warning.message)}" for warning in report.result.warnings)
    yield DISCLAIMER

"""A result as plain text: the timeline for people."""

from collections.abc import Callable, Iterator
from itertools import chain

from ml.reports.report import DISCLAIMER, Report, moment_told, plain, told, voices_of
from ml.results import Media, Probabilities, Reading, Window
from ml.vocabulary import MODALITIES

Paint = Callable[[str, Reading], str]
"""Gives a piece of text the colour of a reading."""

_BAR = 10
_NAMES = {"face": "face", "audio": "voice", "text": "words"}


def unpainted(text: str, reading: Reading) -> str:
    return text


def prose(report: Report, paint: Paint = unpainted) -> str:
    """What the file is, a line for each window and for the whole, the moments, the words, and what to be aware of."""
    parts = (_head(report), _timelines(report, paint), _moments(report), _words(report), _notices(report))
    return "\n".join(chain.from_iterable(parts)) + "\n"


def _head(report: Report) -> Iterator[str]:
    models = report.result.models
    yield f"{plain(report.name)}: {kind_told(report.result.media)}"
    yield f"Read by the bundle {plain(models.bundle)} ({plain(models.licence)})."


def kind_told(media: Media) -> str:
    """`video, 640 × 360, 12.4 s`."""
    size = f", {media.width} × {media.height}" if media.width and media.height else ""
    return f"{media.kind}{size}" + (f", {media.duration:.1f} s" if media.duration is not None else "")


def _timelines(report: Report, paint: Paint) -> Iterator[str]:
    for voice in voices_of(report.result):
        yield ""
        if voice.name:
            yield voice.name
        yield from (_line(window, paint) + (_said(window) if voice.name else "") for window in voice.windows)
        yield f"{'overall':18}  {bar(voice.overall, paint)}".rstrip()
    if report.result.media.kind == "image":
        for track in report.result.faces:
            frame = track.frames[0]
            reading = Reading.from_probabilities(frame.probabilities)
            yield f"{f'face {track.track}':18}  {bar(reading, paint)}".rstrip()


def _line(window: Window, paint: Paint) -> str:
    """`    2.0 –    6.0 s  ███████··· happy 77%   face happy, voice neutral, no words`."""
    return f"{window.start:7.1f} – {window.end:6.1f} s  {bar(window, paint)}  {', '.join(_parts(window))}".rstrip()


def _said(window: Window) -> str:
    """The words of a channel, which no transcript has."""
    return f': "{plain(window.modalities.text.transcript)}"' if window.modalities.text else ""


def bar(reading: Reading, paint: Paint) -> str:
    """`████████··  happy 77%`, of one width."""
    full = round(reading.confidence * _BAR)
    return f"{paint('█' * full, reading)}{'·' * (_BAR - full)}  {paint(f'{told(reading):20}', reading)}"


def _parts(window: Window) -> Iterator[str]:
    for modality in MODALITIES:
        reading = getattr(window.modalities, modality)
        if reading is not None:
            yield f"{_NAMES[modality]} {_mode(reading.probabilities)}"
        elif modality in window.missing:
            yield f"no {_NAMES[modality]}"


def _mode(probabilities: Probabilities) -> str:
    return max(probabilities, key=probabilities.__getitem__)


def _moments(report: Report) -> Iterator[str]:
    """The strongest first."""
    moments = sorted(report.result.moments, key=lambda moment: -moment.score)
    if moments:
        yield from ("", "Moments")
        yield from (f"{moment.time:7.1f} s  {moment.score:4.0%}  {moment_told(moment)}" for moment in moments)


def _words(report: Report) -> Iterator[str]:
    transcript = report.result.transcript
    if transcript.segments or transcript.text.strip():
        source = "by Whisper" if transcript.source == "whisper" else "given"
        yield from ("", f"Words ({source}{f', {plain(transcript.language)}' if transcript.language else ''})")
        for segment in transcript.segments:
            yield f"{segment.start:7.1f} – {segment.end:6.1f} s  {plain(segment.text)}"
        if not transcript.segments:
            yield plain(transcript.text)


def _notices(report: Report) -> Iterator[str]:
    yield ""
    yield from (f"Note: {plain(warning.message)}" for warning in report.result.warnings)
    yield DISCLAIMER

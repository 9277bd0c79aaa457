"""The summary image: a result at a glance, as stacked areas over time; for a photo, as bars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.rendering.drawing import draw_label, emotion_rgb, wrap_text
from ml.rendering.typeface import Colour, typeface
from ml.reports.interval_index import without_overlap
from ml.reports.people import display_names
from ml.reports.plain_text import media_text
from ml.reports.report import (
    DISCLAIMER,
    certainty_text,
    channel_tracks,
    moment_text,
    overall_name,
    reading_text,
    sanitize,
)
from ml.reports.subtitles import Cue, speech_cues
from ml.results import Moment, Probabilities, Result, Window
from ml.scripts import is_right_to_left
from ml.vocabulary import COMBINED, MODALITIES, MODALITY_NAMES, Modality

WIDTH = 1200
"""Pixels; width of the image."""
ROW, GAP = 84, 12
"""Pixels; height of a row of areas, and distance between rows."""
_MARGIN, _NAMES_WIDTH, _LINE = 24, 110, 24
_PAPER: Colour = (255, 255, 255)
_INK: Colour = (32, 32, 32)
_PALE: Colour = (225, 225, 225)
_MAX_MOMENTS, _MAX_SENTENCES = 8, 10
_MAX_CERTAINTY_LINES = 3
_MAX_CHANNELS = 4
_TICKS = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)

_TEXT, _SMALL, _TITLE = 16, 13, 22


@dataclass(frozen=True)
class Band:
    """One row of areas. `parts`: start and end (seconds) of each part, with its distribution or None."""

    name: str
    parts: tuple[tuple[float, float, Probabilities | None], ...]


def summary(result: Result, name: str = "") -> Image.Image:
    """Return an RGB image 1200 pixels wide. `name`: display name of the file, if it may be shown."""
    return _photo(result, name) if result.media.kind == "image" else _timeline(result, name)


def timeline_bands(result: Result) -> Iterator[Band]:
    """Yield the combined reading, each modality with evidence, and the channels that were analysed separately."""
    whole, *channels = channel_tracks(result)
    yield _band(COMBINED, whole.windows, None)
    for modality in MODALITIES:
        if any(getattr(window.modalities, modality) for window in whole.windows):
            yield _band(MODALITY_NAMES[modality], whole.windows, modality)
    for track in channels[:_MAX_CHANNELS]:
        yield _band(track.name, track.windows, None)


def _band(name: str, windows: Sequence[Window], modality: Modality | None) -> Band:
    def shares(window: Window) -> Probabilities | None:
        if modality is None:
            return window.probabilities if window.emotion else None
        reading = getattr(window.modalities, modality)
        return reading.probabilities if reading else None

    return Band(name, tuple((start, end, shares(window)) for start, end, window in without_overlap(windows)))


def areas(band: Band, labels: Sequence[str], duration: float, width: int, height: int) -> NDArray[np.uint8]:
    """Return stacked areas as RGB [height, width, 3], the first label at the bottom.

    Values are interpolated between the middles of parts. Parts without a distribution are pale.
    """
    times = (np.arange(width) + 0.5) * duration / width
    edges = np.array([start for start, _, _ in band.parts])
    index = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, None)
    has_signal = np.array([shares is not None for _, _, shares in band.parts])[index]
    known = [(start + end, shares) for start, end, shares in band.parts if shares is not None]
    image = np.full((height, width, 3), _PALE, np.uint8)
    if not known:
        return image
    middles = np.array([total / 2 for total, _ in known])
    values = [np.interp(times, middles, [shares[label] for _, shares in known]) for label in labels]
    tops = np.cumsum(values, axis=0)  # [labels, width]
    level = (height - 0.5 - np.arange(height))[:, None] / height  # share at the middle of each row
    label_index = np.minimum((level[None] > tops[:, None, :]).sum(0), len(labels) - 1)
    colours = np.array([emotion_rgb(label) for label in labels], np.uint8)
    image[:, has_signal] = colours[label_index][:, has_signal]
    return image


class _Sheet:
    """An image that is filled from top to bottom. `y`: pixels from the top at which the next part begins."""

    def __init__(self, height: int) -> None:
        self.image = Image.new("RGB", (WIDTH, height), _PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = _MARGIN

    def line(self, text: str, size: int = _TEXT, colour: Colour = _INK, left: float = _MARGIN) -> None:
        typeface(size).draw(self.draw, (left, self.y), text, colour)
        self.y += round(size * 1.6)

    def legend(self, labels: Sequence[str]) -> None:
        x: float = _MARGIN
        for name in labels:
            self.draw.rectangle((x, self.y + 3, x + 14, self.y + 17), fill=emotion_rgb(name))
            self.draw.text((x + 20, self.y), name, font=typeface(_TEXT).main, fill=_INK)
            x += 44 + typeface(_TEXT).length(name)
        self.y += _LINE + GAP

    def finish(self) -> Image.Image:
        self.line(DISCLAIMER, _SMALL, (110, 110, 110))
        return self.image.crop((0, 0, WIDTH, self.y + _MARGIN // 2))


def _heading(sheet: _Sheet, result: Result, name: str) -> None:
    details = media_text(result.media)
    sheet.line(sanitize(f"{name}: {details}" if name else details), _SMALL, (110, 110, 110))
    sheet.line(f"{overall_name(result.media)}: {reading_text(result.overall)}", _TITLE)
    if certainty := certainty_text(result.overall):
        for line in wrap_text(certainty, typeface(_SMALL), WIDTH - 2 * _MARGIN, _MAX_CERTAINTY_LINES):
            sheet.line(line, _SMALL, (110, 110, 110))


def _photo(result: Result, name: str) -> Image.Image:
    sheet = _Sheet(2 * _MARGIN + (len(result.labels) + 6 + _MAX_CERTAINTY_LINES) * (_LINE + 4))
    _heading(sheet, result, name)
    for emotion, share in result.overall.probabilities.items():
        length = (WIDTH - 2 * _MARGIN - 200) * (share if result.overall.emotion else 0)
        bar = (_MARGIN + 150, sheet.y + 3, _MARGIN + 150 + length, sheet.y + 19)
        sheet.draw.rectangle(bar, fill=emotion_rgb(emotion))
        sheet.draw.text((_MARGIN + 156 + length, sheet.y), f"{share:.0%}", font=typeface(_TEXT).main, fill=_INK)
        sheet.line(emotion)
    sheet.y += GAP
    return sheet.finish()


def _timeline(result: Result, name: str) -> Image.Image:
    bands = list(timeline_bands(result))
    sentences = [cue for cue in speech_cues(result) if cue.speech]
    moments = sorted(sorted(result.moments, key=lambda each: -each.score)[:_MAX_MOMENTS], key=lambda each: each.time)
    lines = len(moments) + 2 * min(len(sentences), _MAX_SENTENCES) + 10 + _MAX_CERTAINTY_LINES
    sheet = _Sheet(2 * _MARGIN + (len(bands) + 1) * (ROW + GAP) + lines * (_LINE + 4))
    _heading(sheet, result, name)
    sheet.legend(result.labels)
    duration = max(result.media.duration or 0.0, 1e-3)
    _marks(sheet, moments, duration)
    for band in bands:
        _draw_band(sheet, band, result.labels, duration)
    if sentences:
        _draw_transcript(sheet, sentences, duration)
    _axis(sheet, duration)
    names = display_names(result)
    for number, moment in enumerate(moments, 1):
        sheet.line(f"{number}   {moment.time:.1f} s   {moment_text(moment, names)}")
    for cue in sentences[:_MAX_SENTENCES]:
        _sentence(sheet, cue)
    if len(sentences) > _MAX_SENTENCES:
        sheet.line(f"… and {len(sentences) - _MAX_SENTENCES} more sentences")
    sheet.y += GAP
    return sheet.finish()


def _x(time: float, duration: float) -> float:
    """Return the pixels from the left for a time."""
    left = _MARGIN + _NAMES_WIDTH
    return left + (WIDTH - _MARGIN - left) * min(max(time / duration, 0.0), 1.0)


def _marks(sheet: _Sheet, moments: Sequence[Moment], duration: float) -> None:
    for number, moment in enumerate(moments, 1):
        x = _x(moment.time, duration)
        sheet.draw.text((x, sheet.y), str(number), font=typeface(_SMALL).main, fill=_INK, anchor="ma")
        triangle = [(x - 5, sheet.y + 18), (x + 5, sheet.y + 18), (x, sheet.y + 25)]
        sheet.draw.polygon(triangle, fill=emotion_rgb(moment.to))
    sheet.y += 28 if moments else 0


def _draw_band(sheet: _Sheet, band: Band, labels: Sequence[str], duration: float) -> None:
    left = _MARGIN + _NAMES_WIDTH
    image = areas(band, labels, duration, WIDTH - _MARGIN - left, ROW)
    sheet.image.paste(Image.fromarray(image), (left, sheet.y))
    sheet.draw.text((_MARGIN, sheet.y + ROW / 2), band.name, font=typeface(_TEXT).main, fill=_INK, anchor="lm")
    sheet.y += ROW + GAP


def _draw_transcript(sheet: _Sheet, sentences: Sequence[Cue], duration: float) -> None:
    sheet.draw.text((_MARGIN, sheet.y + 8), "Transcript", font=typeface(_TEXT).main, fill=_INK, anchor="lm")
    for cue in sentences:
        span = (_x(cue.start, duration), sheet.y, max(_x(cue.end, duration), _x(cue.start, duration) + 2))
        sheet.draw.rectangle((*span, sheet.y + 16), fill=emotion_rgb(cue.reading.emotion if cue.reading else None))
    sheet.y += 16 + GAP


def _axis(sheet: _Sheet, duration: float) -> None:
    step = next((step for step in _STEPS if duration / step <= _TICKS), _STEPS[-1] * round(duration / 28800 + 1))
    for time in np.arange(0, duration + 1e-9, step):
        x = _x(float(time), duration)
        sheet.draw.line((x, sheet.y - GAP, x, sheet.y - GAP + 5), fill=_INK)
        sheet.draw.text((x, sheet.y - GAP + 6), _clock(float(time)), font=typeface(_SMALL).main, fill=_INK, anchor="ma")
    sheet.y += GAP * 2


def _clock(time: float) -> str:
    minutes, seconds = divmod(round(time), 60)
    return f"{minutes}:{seconds:02}"


def _sentence(sheet: _Sheet, cue: Cue) -> None:
    text = f"{cue.speaker}: {cue.speech}" if cue.speaker else cue.speech
    sheet.draw.text((_MARGIN, sheet.y), _clock(cue.start), font=typeface(_TEXT).main, fill=(110, 110, 110))
    if cue.reading:
        ground = emotion_rgb(cue.reading.emotion)
        draw_label(sheet.draw, _MARGIN + 60, sheet.y, reading_text(cue.reading), typeface(_SMALL), ground)
    left = _MARGIN + 200
    width = WIDTH - _MARGIN - left
    for line in wrap_text(text, typeface(_TEXT), width, 2):
        indent = width - typeface(_TEXT).length(line) if is_right_to_left(text) else 0.0
        sheet.line(line, left=left + indent)

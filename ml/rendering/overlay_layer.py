"""What is drawn over a film at a time: boxes with track and emotion, bars of the fused reading, what is said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.media.overlay import Canvas
from ml.rendering.drawing import WHITE, font, ink_on, label, rgb, wrapped
from ml.reports.interval_index import Axis
from ml.reports.report import told
from ml.reports.subtitles import Cue, speech_cues
from ml.results import Box, FaceFrame, FaceTrack, Reading, Result, Window
from ml.vocabulary import MODALITIES

LONGEST_GAP = 1.0
"""Seconds between two sightings over which a box is taken to move evenly."""
_GROUND = (16, 16, 16, 150)
_TROUGH = (70, 70, 70, 200)
_FAINT = (210, 210, 210)
_CAPTION_LINES = 2
_USUAL_STEP = 0.25


@dataclass(frozen=True)
class Placed:
    """A face as it is shown: its box in original pixels."""

    track: int
    box: Box
    frame: FaceFrame


class Faces:
    """Where the faces are between the sampled frames."""

    def __init__(self, tracks: Sequence[FaceTrack]) -> None:
        self._tracks = [(track, np.array([frame.time for frame in track.frames])) for track in tracks if track.frames]
        steps = [step for _, times in self._tracks for step in np.diff(times).tolist()]
        self._hold = min(steps, default=_USUAL_STEP) / 2

    def at(self, time: float) -> Iterator[Placed]:
        """The faces on screen at a time; each sighting holds for half a step beyond the first and the last."""
        for track, times in self._tracks:
            after = int(np.searchsorted(times, time, side="right"))
            before, frames = after - 1, track.frames
            if before >= 0 and after < len(frames) and times[after] - times[before] <= LONGEST_GAP:
                share = (time - times[before]) / (times[after] - times[before])
                nearer = frames[after if share > 0.5 else before]
                yield Placed(track.track, _between(frames[before].box, frames[after].box, share), nearer)
            else:
                near = [frames[place] for place in (before, after) if 0 <= place < len(frames)]
                held = [frame for frame in near if abs(frame.time - time) <= self._hold + 1e-9]
                yield from (Placed(track.track, frame.box, frame) for frame in held[:1])


def _between(left: Box, right: Box, share: float) -> Box:
    sides = ("x", "y", "width", "height")
    return Box(**{side: getattr(left, side) * (1 - share) + getattr(right, side) * share for side in sides})


class Layer:
    """Draws the layers of one result on one canvas. What changes with the windows alone is kept until it changes."""

    def __init__(self, result: Result, canvas: Canvas) -> None:
        self._canvas = canvas
        self._faces = Faces(result.faces)
        self._windows = Axis(result.windows)
        self._still = result.overall if result.media.kind == "image" else None
        self._cues = Axis([cue for cue in speech_cues(result) if cue.said])
        self._font = font(max(12, round(canvas.height / 34)))
        self._line = round(self._height("Ág") * 1.35)
        self._right = _crowded_left(result)
        self._kept: tuple[Reading | None, Cue | None, Image.Image] | None = None

    def at(self, time: float) -> NDArray[np.uint8]:
        """uint8 RGBA [height, width, 4]."""
        image = self._ground(time).copy()
        draw = ImageDraw.Draw(image)
        for placed in self._faces.at(time):
            self._face(draw, placed)
        return np.asarray(image)

    def _height(self, text: str) -> float:
        box = self._font.getbbox(text)
        return box[3] - box[1]

    def _ground(self, time: float) -> Image.Image:
        reading = self._still or self._windows.at(time)
        cue = next(iter(self._cues.touching(time, time)), None)
        if self._kept is None or self._kept[0] is not reading or self._kept[1] is not cue:
            image = Image.new("RGBA", (self._canvas.width, self._canvas.height))
            draw = ImageDraw.Draw(image)
            if reading is not None:
                self._bars(draw, reading)
            if cue is not None:
                self._caption(draw, cue)
            self._kept = reading, cue, image
        return self._kept[2]

    def _face(self, draw: ImageDraw.ImageDraw, placed: Placed) -> None:
        scale, colour = self._canvas.scale, rgb(placed.frame.emotion)
        left, top = placed.box.x * scale, placed.box.y * scale
        right, bottom = left + placed.box.width * scale, top + placed.box.height * scale
        draw.rectangle((left, top, right, bottom), outline=colour, width=max(2, round(self._line / 8)))
        share = placed.frame.probabilities[placed.frame.emotion]
        above = top - self._line
        text = f"{placed.track} {placed.frame.emotion} {share:.0%}"
        label(draw, left, above if above >= 0 else bottom, text, self._font, colour)

    def _bars(self, draw: ImageDraw.ImageDraw, reading: Reading) -> None:
        """The reading in words, a bar for each emotion, and what each modality says by itself."""
        line, margin = self._line, round(self._line / 3)
        names = list(reading.probabilities)
        modalities = list(_modality_lines(reading))
        name_width = max(self._font.getlength(text) for text in names)
        bar_width = max(round(self._canvas.width * 0.11), 40)
        heading = told(reading)
        inner = max(name_width + margin + bar_width, *(self._font.getlength(text) for text in (heading, *modalities)))
        width, height = inner + 2 * margin, (1 + len(names) + len(modalities)) * line + 2 * margin
        left = self._canvas.width - width - margin if self._right else margin
        draw.rounded_rectangle((left, margin, left + width, margin + height), margin, fill=_GROUND)
        x, y = left + margin, 2 * margin
        draw.text((x, y), heading, font=self._font, fill=WHITE)
        for name, share in reading.probabilities.items():
            y += line
            length = bar_width * share if reading.emotion else 0
            draw.text((x, y), name, font=self._font, fill=WHITE)
            start = x + name_width + margin
            top, bottom = y + line * 0.2, y + line * 0.8
            draw.rectangle((start, top, start + bar_width, bottom), fill=_TROUGH)
            draw.rectangle((start, top, start + length, bottom), fill=rgb(name))
        for text in modalities:
            y += line
            draw.text((x, y), text, font=self._font, fill=_FAINT)

    def _caption(self, draw: ImageDraw.ImageDraw, cue: Cue) -> None:
        speaker = f"{cue.speaker}: " if cue.speaker else ""
        margin = round(self._line / 3)
        width = self._canvas.width - 4 * margin
        tag = told(cue.reading) if cue.reading else ""
        lines = wrapped(f"{speaker}{cue.said}", self._font, width, _CAPTION_LINES)
        height = (len(lines) + bool(tag)) * self._line + 2 * margin
        top = self._canvas.height - height - margin
        draw.rounded_rectangle((margin, top, self._canvas.width - margin, top + height), margin, fill=_GROUND)
        y = top + margin
        if cue.reading:
            self._centred(draw, y, tag, rgb(cue.reading.emotion))
            y += self._line
        for text in lines:
            self._centred(draw, y, text, None)
            y += self._line

    def _centred(self, draw: ImageDraw.ImageDraw, top: float, text: str, ground: tuple[int, int, int] | None) -> None:
        length = self._font.getlength(text)
        left = (self._canvas.width - length) / 2
        if ground is not None:
            margin = self._line / 4
            draw.rectangle((left - margin, top, left + length + margin, top + self._line * 0.95), fill=ground)
        draw.text((left, top), text, font=self._font, fill=WHITE if ground is None else ink_on(ground))


def _modality_lines(reading: Reading) -> Iterator[str]:
    """`face: neutral 89%`, of a window."""
    if not isinstance(reading, Window):
        return
    for modality in MODALITIES:
        if found := getattr(reading.modalities, modality):
            yield f"{modality}: {told(Reading.from_probabilities(found.probabilities))}"


def _crowded_left(result: Result) -> bool:
    """Whether the faces' upper ends lie rather in the left half than in the right."""
    width = result.media.width or 0
    middles = [frame.box.x + frame.box.width / 2 for track in result.faces for frame in track.frames]
    return sum(1 if middle < width / 2 else -1 for middle in middles) > 0

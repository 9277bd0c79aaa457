"""Images drawn over a video: boxes with face and emotion, bars of the combined reading, and captions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ml.media.overlay import Canvas
from ml.rendering.drawing import WHITE, draw_label, emotion_rgb, text_colour_on, wrap_text
from ml.rendering.typeface import typeface
from ml.reports.interval_index import IntervalIndex
from ml.reports.people import display_names
from ml.reports.report import labels_text, overall_name, reading_text, sanitize
from ml.reports.subtitles import Cue, speech_cues
from ml.results import Box, FaceFrame, FaceTrack, Reading, Result, Window
from ml.vocabulary import COMBINED, MODALITIES, MODALITY_NAMES

MAX_GAP_SECONDS = 1.0
"""Maximum seconds between two sightings over which a box is interpolated."""
MAX_NAME_CHARACTERS = 24
"""Maximum characters of the name of a person at a face."""
_PANEL = (16, 16, 16, 150)
_EMPTY_BAR = (70, 70, 70, 200)
_FAINT = (210, 210, 210)
_CAPTION_LINES = 2
_DEFAULT_STEP = 0.25


@dataclass(frozen=True)
class PlacedFace:
    """A face as it is drawn: its box in original pixels, and the frame that it was read from."""

    track: int
    box: Box
    frame: FaceFrame


class FaceTimeline:
    """Positions of the faces at any time, interpolated between the sampled frames."""

    def __init__(self, tracks: Sequence[FaceTrack]) -> None:
        self._tracks = [(track, np.array([frame.time for frame in track.frames])) for track in tracks if track.frames]
        steps = [step for _, times in self._tracks for step in np.diff(times).tolist()]
        self._hold = min(steps, default=_DEFAULT_STEP) / 2

    def at(self, time: float) -> Iterator[PlacedFace]:
        """Yield the faces on screen. A track is held for half a step before its first and after its last sighting."""
        for track, times in self._tracks:
            after = int(np.searchsorted(times, time, side="right"))
            before, frames = after - 1, track.frames
            if before >= 0 and after < len(frames) and times[after] - times[before] <= MAX_GAP_SECONDS:
                share = (time - times[before]) / (times[after] - times[before])
                nearer = frames[after if share > 0.5 else before]
                yield PlacedFace(track.track, _interpolated(frames[before].box, frames[after].box, share), nearer)
            else:
                neighbours = [frames[index] for index in (before, after) if 0 <= index < len(frames)]
                held = [frame for frame in neighbours if abs(frame.time - time) <= self._hold + 1e-9]
                yield from (PlacedFace(track.track, frame.box, frame) for frame in held[:1])


def _interpolated(left: Box, right: Box, share: float) -> Box:
    sides = ("x", "y", "width", "height")
    return Box(**{side: getattr(left, side) * (1 - share) + getattr(right, side) * share for side in sides})


class OverlayPainter:
    """Draws the overlay images of one result. What depends only on the window and caption is drawn once for each."""

    def __init__(self, result: Result, canvas: Canvas) -> None:
        self._canvas = canvas
        self._faces = FaceTimeline(result.faces)
        self._names = _face_names(result)
        self._people = display_names(result)
        self._windows = IntervalIndex(result.windows)
        self._photo_reading = result.overall if result.media.kind == "image" else None
        self._title = overall_name(result.media) if self._photo_reading else COMBINED
        self._captions = IntervalIndex([cue for cue in speech_cues(result) if cue.speech])
        self._face = typeface(max(12, round(canvas.height / 34)))
        self._line = round(self._text_height("Ág") * 1.35)
        self._bars_on_right = _faces_are_on_left(result)
        self._background: tuple[Reading | None, Cue | None, Image.Image] | None = None

    def at(self, time: float) -> NDArray[np.uint8]:
        """Return the image at a time: uint8 RGBA [height, width, 4]."""
        image = self._background_at(time).copy()
        draw = ImageDraw.Draw(image)
        for face in self._faces.at(time):
            self._draw_face(draw, face)
        return np.asarray(image)

    def _text_height(self, text: str) -> float:
        box = self._face.main.getbbox(text)
        return box[3] - box[1]

    def _background_at(self, time: float) -> Image.Image:
        reading = self._photo_reading or self._windows.nearest(time)
        caption = next(iter(self._captions.overlapping(time, time)), None)
        if self._background is None or self._background[0] is not reading or self._background[1] is not caption:
            image = Image.new("RGBA", (self._canvas.width, self._canvas.height))
            draw = ImageDraw.Draw(image)
            if reading is not None:
                self._draw_bars(draw, reading)
            if caption is not None:
                self._draw_caption(draw, caption)
            self._background = reading, caption, image
        return self._background[2]

    def _draw_face(self, draw: ImageDraw.ImageDraw, face: PlacedFace) -> None:
        scale, colour = self._canvas.scale, emotion_rgb(face.frame.emotion)
        left, top = face.box.x * scale, face.box.y * scale
        right, bottom = left + face.box.width * scale, top + face.box.height * scale
        draw.rectangle((left, top, right, bottom), outline=colour, width=max(2, round(self._line / 8)))
        probability = face.frame.probabilities[face.frame.emotion]
        above = top - self._line
        labels = face.frame.labels_90 or ()
        named = labels_text(labels) if len(labels) > 1 else f"{face.frame.emotion} {probability:.0%}"
        text = f"{self._names.get(face.track, face.track)} {named}"
        draw_label(draw, left, above if above >= 0 else bottom, text, self._face, colour)

    def _draw_bars(self, draw: ImageDraw.ImageDraw, reading: Reading) -> None:
        """Draw the reading in words, a bar for each emotion, and the reading of each modality."""
        line, margin = self._line, round(self._line / 3)
        names = list(reading.probabilities)
        modalities = list(_modality_lines(reading))
        name_width = max(self._face.length(text) for text in names)
        bar_width = max(round(self._canvas.width * 0.11), 40)
        person = self._people.get(reading.person or 0) if isinstance(reading, Window) else None
        heading = f"{person or self._title}: {reading_text(reading)}"
        content_width = max(
            name_width + margin + bar_width, *(self._face.length(text) for text in (heading, *modalities))
        )
        width = content_width + 2 * margin
        height = (len(names) + len(modalities) + 1) * line + 2 * margin
        left = self._canvas.width - width - margin if self._bars_on_right else margin
        draw.rounded_rectangle((left, margin, left + width, margin + height), margin, fill=_PANEL)
        x, y = left + margin, 2 * margin
        self._face.draw(draw, (x, y), heading, WHITE)
        for name, share in reading.probabilities.items():
            y += line
            length = bar_width * share if reading.emotion else 0
            self._face.draw(draw, (x, y), name, WHITE)
            start = x + name_width + margin
            top, bottom = y + line * 0.2, y + line * 0.8
            draw.rectangle((start, top, start + bar_width, bottom), fill=_EMPTY_BAR)
            draw.rectangle((start, top, start + length, bottom), fill=emotion_rgb(name))
        for text in modalities:
            y += line
            self._face.draw(draw, (x, y), text, _FAINT)

    def _draw_caption(self, draw: ImageDraw.ImageDraw, caption: Cue) -> None:
        speaker = f"{caption.speaker}: " if caption.speaker else ""
        margin = round(self._line / 3)
        width = self._canvas.width - 4 * margin
        lines = wrap_text(f"{speaker}{caption.speech}", self._face, width, _CAPTION_LINES)
        height = (len(lines) + bool(caption.reading)) * self._line + 2 * margin
        top = self._canvas.height - height - margin
        draw.rounded_rectangle((margin, top, self._canvas.width - margin, top + height), margin, fill=_PANEL)
        y = top + margin
        if caption.reading:
            self._draw_centred(draw, y, reading_text(caption.reading), emotion_rgb(caption.reading.emotion))
            y += self._line
        for text in lines:
            self._draw_centred(draw, y, text, None)
            y += self._line

    def _draw_centred(
        self, draw: ImageDraw.ImageDraw, top: float, text: str, ground: tuple[int, int, int] | None
    ) -> None:
        length = self._face.length(text)
        left = (self._canvas.width - length) / 2
        if ground is not None:
            margin = self._line / 4
            draw.rectangle((left - margin, top, left + length + margin, top + self._line * 0.95), fill=ground)
        self._face.draw(draw, (left, top), text, WHITE if ground is None else text_colour_on(ground))


def _face_names(result: Result) -> dict[int, str]:
    """Return what each face track is labelled with if it is a person: the name, or the number of one without."""
    names = {person.person: sanitize(person.name or "") for person in result.people}
    labels = {number: _shortened(name) or str(number) for number, name in names.items()}
    return {track.track: labels[track.person] for track in result.faces if track.person in labels}


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME_CHARACTERS else f"{name[: MAX_NAME_CHARACTERS - 1]}…"


def _modality_lines(reading: Reading) -> Iterator[str]:
    """Yield the reading of each modality of a window, such as `Face: neutral 89%`."""
    if not isinstance(reading, Window):
        return
    for modality in MODALITIES:
        if by_itself := getattr(reading.modalities, modality):
            text = reading_text(Reading.from_probabilities(by_itself.probabilities).labelled(by_itself.labels_90))
            yield f"{MODALITY_NAMES[modality]}: {text}"


def _faces_are_on_left(result: Result) -> bool:
    """Return whether more faces are in the left half of the frame than in the right."""
    width = result.media.width or 0
    middles = [frame.box.x + frame.box.width / 2 for track in result.faces for frame in track.frames]
    return sum(1 if middle < width / 2 else -1 for middle in middles) > 0

"""The join: faces, voices and words on one time grid → tracks, windows, the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ml.inference.fusion import Evidence, FusionPredictor, WindowEvidence
from ml.inference.moments import moments_of
from ml.inference.sight import SeenFace, Sight
from ml.inference.sound import Voice
from ml.inference.tracking import main_track, track_faces
from ml.inference.windows import Span, second_weights
from ml.results import (
    AudioReading,
    FaceFrame,
    FaceReading,
    FaceTrack,
    Modalities,
    Moment,
    Options,
    Probabilities,
    Reading,
    TextReading,
    Window,
)
from ml.vocabulary import EMOTIONS, SENTIMENTS, ClassSet, labels_of, simplify


@dataclass(frozen=True)
class Words:
    """What the text model makes of a window's words. `sentiment`: probabilities in the order of SENTIMENTS."""

    evidence: Evidence
    sentiment: NDArray[np.float32]


class TextPredictor(Protocol):
    """What a model of the words offers."""

    @property
    def languages(self) -> tuple[str, ...]: ...

    def read(self, sentences: Sequence[str]) -> list[Words]: ...


@dataclass(frozen=True)
class WindowParts:
    """A window with its voice, its transcript, and the reading of the words where there is one."""

    span: Span
    voice: Voice
    transcript: str
    words: Words | None = None


@dataclass(frozen=True)
class Timeline:
    """The parts of the result that the join makes."""

    labels: tuple[str, ...]
    overall: Reading
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Seen:
    """The sampled frames of a window: for each the window's main face, or null."""

    frames: tuple[SeenFace | None, ...]

    @property
    def evidence(self) -> tuple[Evidence | None, ...]:
        return tuple(face.evidence if face else None for face in self.frames)

    @property
    def coverage(self) -> float:
        return sum(face is not None for face in self.frames) / len(self.frames) if self.frames else 0.0


def probabilities_of(log_probabilities: NDArray[np.float32], classes: ClassSet) -> Probabilities:
    """Log-probabilities of the seven emotions → probabilities that sum to 1, of the classes asked for."""
    values = np.exp(log_probabilities.astype(np.float64))
    full = dict(zip(EMOTIONS, (values / values.sum()).tolist(), strict=True))
    return full if classes == "full" else simplify(full)


def timeline(sight: Sight, parts: Sequence[WindowParts], fusion: FusionPredictor, options: Options) -> Timeline:
    """Tracks the faces, gives each window its main one, and fuses."""
    tracks = track_faces([[face.box for face in faces] for faces in sight.faces], sight.times)
    seen = [_seen(sight, tracks, part.span) for part in parts]
    evidence = [
        WindowEvidence(faces.evidence, part.voice.evidence, part.words.evidence if part.words else None)
        for faces, part in zip(seen, parts, strict=True)
    ]
    fused = fusion.predict(evidence)
    windows = tuple(
        _window(part, faces, found, logs, options.classes)
        for part, faces, found, logs in zip(parts, seen, evidence, fused, strict=True)
    )
    return Timeline(
        labels=labels_of(options.classes),
        overall=overall_of(windows, options.classes),
        windows=windows,
        faces=_tracks(sight, tracks, options.classes),
        moments=moments_of(windows),
    )


def read_image(sight: Sight, options: Options) -> Timeline:
    """The faces of a single picture, largest first; the whole is their mean."""
    tracks = [list(range(1, len(faces) + 1)) for faces in sight.faces]
    faces = _tracks(sight, tracks, options.classes)
    readings = [face.frames[0].probabilities for face in faces]
    overall = Reading.of(_mean(readings, np.ones(len(readings)))) if readings else Reading.empty(options.classes)
    return Timeline(labels_of(options.classes), overall, (), faces, ())


def _seen(sight: Sight, tracks: Sequence[Sequence[int]], span: Span) -> Seen:
    first, last = (int(np.searchsorted(sight.times, edge)) for edge in (span.start, span.end))
    boxes = [[face.box for face in faces] for faces in sight.faces[first:last]]
    main = main_track(boxes, tracks[first:last])
    frames = zip(sight.faces[first:last], tracks[first:last], strict=True)
    return Seen(tuple(dict(zip(numbers, faces, strict=True)).get(main) for faces, numbers in frames))  # type: ignore[arg-type]


def _window(
    part: WindowParts, seen: Seen, evidence: WindowEvidence, fused: NDArray[np.float32], classes: ClassSet
) -> Window:
    present = evidence.present
    reading = Reading.of(probabilities_of(fused, classes)) if any(present.values()) else Reading.empty(classes)
    return Window(
        **reading.model_dump(),
        start=part.span.start,
        end=part.span.end,
        modalities=Modalities(
            face=_face_reading(seen, classes),
            audio=_audio_reading(part.voice, classes),
            text=_text_reading(part, classes),
        ),
        missing=tuple(modality for modality, there in present.items() if not there),
    )


def _face_reading(seen: Seen, classes: ClassSet) -> FaceReading | None:
    readings = [probabilities_of(face.log_probabilities, classes) for face in seen.evidence if face]
    if not readings:
        return None
    return FaceReading(probabilities=_mean(readings, np.ones(len(readings))), coverage=seen.coverage)


def _audio_reading(voice: Voice, classes: ClassSet) -> AudioReading | None:
    if voice.evidence is None:
        return None
    return AudioReading(probabilities=probabilities_of(voice.evidence.log_probabilities, classes), speech=voice.speech)


def _text_reading(part: WindowParts, classes: ClassSet) -> TextReading | None:
    if part.words is None:
        return None
    return TextReading(
        probabilities=probabilities_of(part.words.evidence.log_probabilities, classes),
        sentiment=dict(zip(SENTIMENTS, part.words.sentiment.astype(float).tolist(), strict=True)),
        transcript=part.transcript,
    )


def overall_of(windows: Sequence[Window], classes: ClassSet) -> Reading:
    """The mean of the windows that have evidence, each second weighted once."""
    told = [window for window in windows if window.emotion is not None]
    if not told:
        return Reading.empty(classes)
    weights = second_weights([Span(window.start, window.end) for window in told])
    return Reading.of(_mean([window.probabilities for window in told], weights))


def _mean(readings: Sequence[Mapping[str, float]], weights: NDArray[np.float64]) -> Probabilities:
    """The weighted mean of distributions over the same labels; sums to 1."""
    labels = list(readings[0])
    values = np.average([[reading[label] for label in labels] for reading in readings], axis=0, weights=weights)
    return dict(zip(labels, (values / values.sum()).tolist(), strict=True))


def _tracks(sight: Sight, tracks: Sequence[Sequence[int]], classes: ClassSet) -> tuple[FaceTrack, ...]:
    frames: dict[int, list[FaceFrame]] = {}
    for time, faces, numbers in zip(sight.times, sight.faces, tracks, strict=True):
        for face, number in zip(faces, numbers, strict=True):
            frames.setdefault(number, []).append(_face_frame(time, face, classes))
    return tuple(FaceTrack(track=number, frames=tuple(frames[number])) for number in sorted(frames))


def _face_frame(time: float, face: SeenFace, classes: ClassSet) -> FaceFrame:
    reading = Reading.of(probabilities_of(face.evidence.log_probabilities, classes))
    points = None if face.landmarks is None else tuple((float(x), float(y), float(z)) for x, y, z in face.landmarks)
    return FaceFrame(
        time=time,
        box=face.box,
        score=face.score,
        emotion=str(reading.emotion),
        probabilities=reading.probabilities,
        landmarks=points,
    )

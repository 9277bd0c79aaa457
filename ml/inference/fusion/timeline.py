"""The join: faces, voices and words on one time grid → tracks, windows, the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TextReadingFeatures, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.face.tracker import main_track, track_faces
from ml.inference.fusion.moments import moments_of
from ml.inference.fusion.predictor import FUSION_BATCH_SIZE, FusionPredictor, WindowFeatures
from ml.inference.fusion.windows import second_weights
from ml.inference.voice.segments import WindowVoice
from ml.results import (
    AudioReading,
    FaceFrame,
    FaceReading,
    FaceTrack,
    Mesh,
    Modalities,
    Moment,
    Options,
    Probabilities,
    Reading,
    TextReading,
    Window,
)
from ml.vocabulary import EMOTIONS, SENTIMENTS, ClassSet, labels_for, simplify

_FRAME_FIELDS = set(FaceFrame.model_fields)


@dataclass(frozen=True)
class WindowInputs:
    """A window with its voice, its transcript, and the reading of the words where there is one."""

    span: TimeSpan
    voice: WindowVoice
    transcript: str
    words: TextReadingFeatures | None = None


@dataclass(frozen=True)
class Timeline:
    """The parts of the result that the join makes."""

    labels: tuple[str, ...]
    overall: Reading
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class WindowFaces:
    """The sampled frames of a window: for each the reading of the window's main face, or null."""

    frames: tuple[ModalityFeatures | None, ...]

    @property
    def coverage(self) -> float:
        return sum(face is not None for face in self.frames) / len(self.frames) if self.frames else 0.0


def probabilities_of(log_probabilities: NDArray[np.float32], classes: ClassSet) -> Probabilities:
    """Log-probabilities of the seven emotions → probabilities that sum to 1, of the classes asked for."""
    values = np.exp(log_probabilities.astype(np.float64))
    full = dict(zip(EMOTIONS, (values / values.sum()).tolist(), strict=True))
    return full if classes == "full" else simplify(full)


class TrackedFaces:
    """The faces with their tracks: for each frame the boxes, and the track of each."""

    def __init__(self, sight: FaceObservations) -> None:
        self._sight, self._boxes = sight, sight.boxes_by_frame()
        self.tracks = track_faces(self._boxes, sight.times_F.tolist())

    def within(self, span: TimeSpan) -> WindowFaces:
        """What is seen of the main face of a stretch of time."""
        first, last = (int(np.searchsorted(self._sight.times_F, edge)) for edge in (span.start, span.end))
        main = main_track(self._boxes[first:last], self.tracks[first:last])
        return WindowFaces(tuple(self._reading(frame, main) for frame in range(first, last)))

    def _reading(self, frame: int, track: int | None) -> ModalityFeatures | None:
        if track not in self.tracks[frame]:
            return None
        return self._sight.features(self._sight.rows(frame)[self.tracks[frame].index(track)])


def build_timeline(
    sight: FaceObservations, parts: Sequence[WindowInputs], fusion: FusionPredictor, options: Options
) -> Timeline:
    """Tracks the faces, gives each window its main one, and fuses."""
    tracked = TrackedFaces(sight)
    windows = tuple(
        window
        for first in range(0, len(parts), FUSION_BATCH_SIZE)
        for window in _fused(tracked, parts[first : first + FUSION_BATCH_SIZE], fusion, options.classes)
    )
    return Timeline(
        labels=labels_for(options.classes),
        overall=overall_of(windows, options.classes),
        windows=windows,
        faces=_tracks(sight, tracked.tracks, options.classes),
        moments=moments_of(windows),
    )


def _fused(
    tracked: TrackedFaces, parts: Sequence[WindowInputs], fusion: FusionPredictor, classes: ClassSet
) -> list[Window]:
    seen = [tracked.within(part.span) for part in parts]
    features = [
        WindowFeatures(faces.frames, part.voice.features, part.words.features if part.words else None)
        for faces, part in zip(seen, parts, strict=True)
    ]
    fused = fusion.predict(features).log_probabilities_NC
    return [
        _window(part, faces, found, logs, classes)
        for part, faces, found, logs in zip(parts, seen, features, fused, strict=True)
    ]


def image_timeline(sight: FaceObservations, options: Options) -> Timeline:
    """The faces of a single picture, largest first; the whole is their mean."""
    tracks = [list(range(1, len(sight.rows(frame)) + 1)) for frame in range(len(sight.times_F))]
    faces = _tracks(sight, tracks, options.classes)
    readings = [face.frames[0].probabilities for face in faces]
    overall = (
        Reading.from_probabilities(_mean(readings, np.ones(len(readings))))
        if readings
        else Reading.empty(options.classes)
    )
    return Timeline(labels_for(options.classes), overall, (), faces, ())


def _window(
    part: WindowInputs, seen: WindowFaces, evidence: WindowFeatures, fused: NDArray[np.float32], classes: ClassSet
) -> Window:
    present = evidence.present
    reading = (
        Reading.from_probabilities(probabilities_of(fused, classes))
        if any(present.values())
        else Reading.empty(classes)
    )
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


def _face_reading(seen: WindowFaces, classes: ClassSet) -> FaceReading | None:
    readings = [probabilities_of(face.log_probabilities, classes) for face in seen.frames if face]
    if not readings:
        return None
    return FaceReading(probabilities=_mean(readings, np.ones(len(readings))), coverage=seen.coverage)


def _audio_reading(voice: WindowVoice, classes: ClassSet) -> AudioReading | None:
    if voice.features is None:
        return None
    return AudioReading(probabilities=probabilities_of(voice.features.log_probabilities, classes), speech=voice.speech)


def _text_reading(part: WindowInputs, classes: ClassSet) -> TextReading | None:
    if part.words is None:
        return None
    return TextReading(
        probabilities=probabilities_of(part.words.features.log_probabilities, classes),
        sentiment=dict(zip(SENTIMENTS, part.words.sentiment.astype(float).tolist(), strict=True)),
        transcript=part.transcript,
    )


def overall_of(windows: Sequence[Window], classes: ClassSet) -> Reading:
    """The mean of the windows that have evidence, each second weighted once."""
    told = [window for window in windows if window.emotion is not None]
    if not told:
        return Reading.empty(classes)
    weights = second_weights([TimeSpan(window.start, window.end) for window in told])
    return Reading.from_probabilities(_mean([window.probabilities for window in told], weights))


def _mean(readings: Sequence[Mapping[str, float]], weights: NDArray[np.float64]) -> Probabilities:
    """The weighted mean of distributions over the same labels; sums to 1."""
    labels = list(readings[0])
    values = np.average([[reading[label] for label in labels] for reading in readings], axis=0, weights=weights)
    return dict(zip(labels, (values / values.sum()).tolist(), strict=True))


def _tracks(sight: FaceObservations, tracks: Sequence[Sequence[int]], classes: ClassSet) -> tuple[FaceTrack, ...]:
    frames: dict[int, list[FaceFrame]] = {}
    for frame, numbers in enumerate(tracks):
        for row, number in zip(sight.rows(frame), numbers, strict=True):
            frames.setdefault(number, []).append(_face_frame(sight, frame, row, classes))
    return tuple(FaceTrack(track=number, frames=tuple(frames[number])) for number in sorted(frames))


def _face_frame(sight: FaceObservations, frame: int, row: int, classes: ClassSet) -> FaceFrame:
    """Made without a check and with one set of names for all: an hour of them takes a third less memory."""
    reading = Reading.from_probabilities(probabilities_of(sight.log_probabilities_NC[row], classes))
    return FaceFrame.model_construct(
        _FRAME_FIELDS,
        time=float(sight.times_F[frame]),
        box=sight.box(row),
        score=float(sight.scores_N[row]),
        emotion=str(reading.emotion),
        probabilities=reading.probabilities,
        landmarks=_mesh(sight, row),
    )


def _mesh(sight: FaceObservations, row: int) -> Mesh | None:
    if sight.landmarks_NP3 is None or np.isnan(sight.landmarks_NP3[row, 0, 0]):
        return None
    return Mesh(sight.landmarks_NP3[row].tobytes())

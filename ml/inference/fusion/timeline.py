"""Timeline: faces, voices and words on one time grid → face tracks, windows, moments and the overall reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures, TextReadingFeatures, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.face.tracker import main_track, track_faces
from ml.inference.fusion.moments import find_moments
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
from ml.vocabulary import EMOTIONS, SENTIMENTS, ClassSet, Modality, labels_for, simplify

_FRAME_FIELDS = set(FaceFrame.model_fields)


@dataclass(frozen=True)
class WindowInputs:
    """Inputs of a window other than its faces: the voice, the transcript, and the reading of its words, if any."""

    span: TimeSpan
    voice: WindowVoice
    transcript: str
    words: TextReadingFeatures | None = None


@dataclass(frozen=True)
class WindowFaces:
    """Features of the window's main face in each sampled frame; null for a frame without it."""

    frames: tuple[ModalityFeatures | None, ...]

    @property
    def coverage(self) -> float:
        """Share of the frames that show the face."""
        return sum(face is not None for face in self.frames) / len(self.frames) if self.frames else 0.0


@dataclass(frozen=True)
class Timeline:
    """Parts of the result that depend on time, and the overall reading."""

    labels: tuple[str, ...]
    overall: Reading
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    moments: tuple[Moment, ...]


class TrackedFaces:
    """Faces with their track numbers; `tracks` are those of the boxes of each frame."""

    def __init__(self, faces: FaceObservations) -> None:
        self._faces, self._boxes = faces, faces.boxes_by_frame()
        self.tracks = track_faces(self._boxes, faces.times_F.tolist())

    def in_window(self, span: TimeSpan) -> WindowFaces:
        """Return the features of the main face of a window."""
        first, last = (int(np.searchsorted(self._faces.times_F, edge)) for edge in (span.start, span.end))
        track = main_track(self._boxes[first:last], self.tracks[first:last])
        return WindowFaces(tuple(self._features(frame, track) for frame in range(first, last)))

    def _features(self, frame: int, track: int | None) -> ModalityFeatures | None:
        if track not in self.tracks[frame]:
            return None
        return self._faces.features(self._faces.rows(frame)[self.tracks[frame].index(track)])


def build_timeline(
    faces: FaceObservations, inputs: Sequence[WindowInputs], fusion: FusionPredictor, options: Options
) -> Timeline:
    """Track the faces, find the main one of each window, and fuse the modalities of each window."""
    tracked = TrackedFaces(faces)
    windows = tuple(
        window
        for first in range(0, len(inputs), FUSION_BATCH_SIZE)
        for window in _fuse(tracked, inputs[first : first + FUSION_BATCH_SIZE], fusion, options.classes)
    )
    return Timeline(
        labels=labels_for(options.classes),
        overall=_overall_reading(windows, options.classes),
        windows=windows,
        faces=_face_tracks(faces, tracked.tracks, options.classes),
        moments=find_moments(windows),
    )


def image_timeline(faces: FaceObservations, options: Options) -> Timeline:
    """Return the faces of an image, largest first, and as the overall reading their mean."""
    tracks = [list(range(1, len(faces.rows(frame)) + 1)) for frame in range(len(faces.times_F))]
    face_tracks = _face_tracks(faces, tracks, options.classes)
    distributions = [track.frames[0].probabilities for track in face_tracks]
    overall = Reading.empty(options.classes)
    if distributions:
        overall = Reading.from_probabilities(_weighted_mean(distributions))
    return Timeline(labels_for(options.classes), overall, (), face_tracks, ())


def _fuse(
    tracked: TrackedFaces, inputs: Sequence[WindowInputs], fusion: FusionPredictor, classes: ClassSet
) -> list[Window]:
    faces = [tracked.in_window(each.span) for each in inputs]
    features = [
        WindowFeatures(face.frames, each.voice.features, each.words.features if each.words else None)
        for face, each in zip(faces, inputs, strict=True)
    ]
    rows = zip(inputs, faces, features, fusion.predict(features).log_probabilities_NC, strict=True)
    return [_window(each, face, window.present, logs, classes) for each, face, window, logs in rows]


def _window(
    inputs: WindowInputs,
    faces: WindowFaces,
    present: Mapping[Modality, bool],
    fused: NDArray[np.float32],
    classes: ClassSet,
) -> Window:
    reading = Reading.empty(classes)
    if any(present.values()):
        reading = Reading.from_probabilities(_to_probabilities(fused, classes))
    return Window(
        **reading.model_dump(),
        start=inputs.span.start,
        end=inputs.span.end,
        modalities=Modalities(
            face=_face_reading(faces, classes),
            audio=_voice_reading(inputs.voice, classes),
            text=_text_reading(inputs, classes),
        ),
        missing=tuple(modality for modality, is_present in present.items() if not is_present),
    )


def _face_reading(faces: WindowFaces, classes: ClassSet) -> FaceReading | None:
    distributions = [_to_probabilities(face.log_probabilities, classes) for face in faces.frames if face]
    if not distributions:
        return None
    return FaceReading(probabilities=_weighted_mean(distributions), coverage=faces.coverage)


def _voice_reading(voice: WindowVoice, classes: ClassSet) -> AudioReading | None:
    if voice.features is None:
        return None
    return AudioReading(probabilities=_to_probabilities(voice.features.log_probabilities, classes), speech=voice.speech)


def _text_reading(inputs: WindowInputs, classes: ClassSet) -> TextReading | None:
    if inputs.words is None:
        return None
    return TextReading(
        probabilities=_to_probabilities(inputs.words.features.log_probabilities, classes),
        sentiment=dict(zip(SENTIMENTS, inputs.words.sentiment.astype(float).tolist(), strict=True)),
        transcript=inputs.transcript,
    )


def _overall_reading(windows: Sequence[Window], classes: ClassSet) -> Reading:
    """Return the mean of the windows with a reading, in which each second counts once."""
    read = [window for window in windows if window.emotion is not None]
    if not read:
        return Reading.empty(classes)
    weights = second_weights([TimeSpan(window.start, window.end) for window in read])
    return Reading.from_probabilities(_weighted_mean([window.probabilities for window in read], weights))


def _to_probabilities(log_probabilities: NDArray[np.float32], classes: ClassSet) -> Probabilities:
    """Return probabilities of the requested classes, which sum to 1, from log-probabilities of the seven emotions."""
    values = np.exp(log_probabilities.astype(np.float64))
    full = dict(zip(EMOTIONS, (values / values.sum()).tolist(), strict=True))
    return full if classes == "full" else simplify(full)


def _weighted_mean(
    distributions: Sequence[Mapping[str, float]], weights: NDArray[np.float64] | None = None
) -> Probabilities:
    """Return the mean of distributions over the same labels; it sums to 1. `weights`: null for equal ones."""
    labels = list(distributions[0])
    rows = [[distribution[label] for label in labels] for distribution in distributions]
    values = np.average(rows, axis=0, weights=np.ones(len(rows)) if weights is None else weights)
    return dict(zip(labels, (values / values.sum()).tolist(), strict=True))


def _face_tracks(faces: FaceObservations, tracks: Sequence[Sequence[int]], classes: ClassSet) -> tuple[FaceTrack, ...]:
    frames: dict[int, list[FaceFrame]] = {}
    for frame, numbers in enumerate(tracks):
        for row, number in zip(faces.rows(frame), numbers, strict=True):
            frames.setdefault(number, []).append(_face_frame(faces, frame, row, classes))
    return tuple(FaceTrack(track=number, frames=tuple(frames[number])) for number in sorted(frames))


def _face_frame(faces: FaceObservations, frame: int, row: int, classes: ClassSet) -> FaceFrame:
    """Return one face of a frame.

    It is built without validation and with one shared set of field names: an hour of them takes a third less memory.
    """
    reading = Reading.from_probabilities(_to_probabilities(faces.log_probabilities_NC[row], classes))
    mesh = None if faces.landmarks_NP3 is None else faces.landmarks_NP3[row]
    return FaceFrame.model_construct(
        _FRAME_FIELDS,
        time=float(faces.times_F[frame]),
        box=faces.box(row),
        score=float(faces.scores_N[row]),
        emotion=str(reading.emotion),
        probabilities=reading.probabilities,
        landmarks=None if mesh is None or np.isnan(mesh[0, 0]) else Mesh(mesh.tobytes()),
    )

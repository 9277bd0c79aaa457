"""Timeline: faces, voices and words on one time grid → face tracks, windows, moments and the overall reading."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray, ModalityFeatures, TextReadingFeatures, TimeSpan
from ml.inference.face.observations import FaceObservations
from ml.inference.face.tracker import main_track, track_faces
from ml.inference.fusion.calibration import ReadingKind
from ml.inference.fusion.moments import find_moments
from ml.inference.fusion.predictor import FUSION_BATCH_SIZE, FusionPredictor, WindowFeatures, WindowReadings
from ml.inference.fusion.qualities import voice_qualities, word_qualities
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
    certainty,
)
from ml.scripts import count_words
from ml.vocabulary import EMOTIONS, MODALITIES, SENTIMENTS, ClassSet, Modality, labels_for, simplify

_FRAME_FIELDS = set(FaceFrame.model_fields)


@dataclass(frozen=True)
class WindowInputs:
    """Inputs of a window other than its faces: the voice, the transcript, and the reading of its words, if any.

    `confidence`: of the recogniser in the words, 0 to 1; NaN if unknown.
    """

    span: TimeSpan
    voice: WindowVoice
    transcript: str
    words: TextReadingFeatures | None = None
    confidence: float = math.nan

    @property
    def quality(self) -> dict[str, float]:
        """Qualities of voice and words, by their names in `WINDOW_QUALITIES`."""
        known: dict[str, float] = {}
        if self.voice.features is not None:
            known["speech"] = self.voice.speech
            if self.voice.features.quality is not None:
                known["level"], known["snr"] = voice_qualities(*self.voice.features.quality.tolist())
        if self.words is not None:
            known["confidence"], known["words"] = word_qualities(self.confidence, count_words(self.transcript))
        return known


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
        self._scores = [
            [float(faces.scores_N[row]) for row in faces.rows(frame)] for frame in range(len(faces.times_F))
        ]
        self.tracks = track_faces(self._boxes, faces.times_F.tolist())

    def in_window(self, span: TimeSpan) -> WindowFaces:
        """Return the features of the main face of a window."""
        first, last = (int(np.searchsorted(self._faces.times_F, edge)) for edge in (span.start, span.end))
        track = main_track(self._boxes[first:last], self.tracks[first:last], self._scores[first:last])
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
    windows = fuse_windows([tracked.in_window(each.span) for each in inputs], inputs, fusion, options)
    return Timeline(
        labels=labels_for(options.classes),
        overall=overall_reading(windows, fusion, options),
        windows=windows,
        faces=_face_tracks(faces, tracked.tracks, options.classes, fusion.threshold("picture", "uniform")),
        moments=find_moments(windows),
    )


def image_timeline(faces: FaceObservations, fusion: FusionPredictor, options: Options) -> Timeline:
    """Return the faces of an image, largest first, and as the overall reading their mean."""
    tracks = [list(range(1, len(faces.rows(frame)) + 1)) for frame in range(len(faces.times_F))]
    threshold = fusion.threshold("picture", "uniform")
    face_tracks = _face_tracks(faces, tracks, options.classes, threshold)
    distributions = [track.frames[0].probabilities for track in face_tracks]
    overall = Reading.empty(options.classes)
    if distributions:
        overall = Reading.from_probabilities(_weighted_mean(distributions), threshold)
    return Timeline(labels_for(options.classes), overall, (), face_tracks, ())


def fuse_windows(
    faces: Sequence[WindowFaces], inputs: Sequence[WindowInputs], fusion: FusionPredictor, options: Options
) -> tuple[Window, ...]:
    """Return the windows of faces, voices and words; the prior of the options applies to each of their readings."""
    windows: list[Window] = []
    for first in range(0, len(inputs), FUSION_BATCH_SIZE):
        batch = slice(first, first + FUSION_BATCH_SIZE)
        features = [
            WindowFeatures(face.frames, each.voice.features, each.words.features if each.words else None, each.quality)
            for face, each in zip(faces[batch], inputs[batch], strict=True)
        ]
        readings = fusion.read(features, options.prior)
        make = _WindowMaker(readings, fusion, options)
        rows = enumerate(zip(inputs[batch], faces[batch], strict=True))
        windows += [make.window(row, each, face) for row, (each, face) in rows]
    return tuple(windows)


@dataclass(frozen=True)
class _WindowMaker:
    """Makes the windows of one batch of readings."""

    readings: WindowReadings
    fusion: FusionPredictor
    options: Options

    def window(self, row: int, inputs: WindowInputs, faces: WindowFaces) -> Window:
        present = {modality: self.readings.modality(row, modality) for modality in MODALITIES}
        reading = Reading.empty(self.options.classes)
        if any(logs is not None for logs in present.values()):
            probabilities = _to_probabilities(self.readings.combined_NC[row], self.options.classes)
            read = [modality for modality, logs in present.items() if logs is not None]
            threshold = combined_threshold(self.fusion, read, self.options)
            reading = Reading.from_probabilities(probabilities, threshold)
        face, audio, text = (self._reading(modality, present[modality]) for modality in MODALITIES)
        return Window(
            **reading.model_dump(),
            start=inputs.span.start,
            end=inputs.span.end,
            modalities=Modalities(
                face=FaceReading(**face, coverage=faces.coverage) if face else None,
                audio=AudioReading(**audio, speech=inputs.voice.speech) if audio else None,
                text=TextReading(**text, **_words(inputs)) if text else None,
            ),
            missing=tuple(modality for modality, logs in present.items() if logs is None),
        )

    def _reading(self, modality: Modality, logs: FloatArray | None) -> dict[str, Any] | None:
        """Return the fields that the readings of all modalities have; null if it is absent."""
        if logs is None:
            return None
        probabilities = _to_probabilities(logs, self.options.classes)
        return {"probabilities": probabilities, **certainty(probabilities, self._threshold(modality))}

    def _threshold(self, kind: ReadingKind) -> float | None:
        return self.fusion.threshold(kind, self.options.prior)


def _words(inputs: WindowInputs) -> dict[str, Any]:
    assert inputs.words is not None
    sentiment = dict(zip(SENTIMENTS, inputs.words.sentiment.astype(float).tolist(), strict=True))
    return {"sentiment": sentiment, "transcript": inputs.transcript}


def overall_reading(windows: Sequence[Window], fusion: FusionPredictor, options: Options) -> Reading:
    """Return the mean of the windows with a reading, in which each second counts once."""
    read = [window for window in windows if window.emotion is not None]
    if not read:
        return Reading.empty(options.classes)
    weights = second_weights([TimeSpan(window.start, window.end) for window in read])
    mean = _weighted_mean([window.probabilities for window in read], weights)
    present = [[modality for modality in MODALITIES if modality not in window.missing] for window in read]
    thresholds = [combined_threshold(fusion, modalities, options) for modalities in present]
    known = [threshold for threshold in thresholds if threshold is not None]
    mean_threshold = float(np.average(known, weights=weights)) if len(known) == len(read) else None
    return Reading.from_probabilities(mean, mean_threshold)


def combined_threshold(fusion: FusionPredictor, present: Sequence[Modality], options: Options) -> float | None:
    """Return the threshold of `labels_90` of a combined reading; with one modality, which it then is, that one's."""
    return fusion.threshold(present[0] if len(present) == 1 else "combined", options.prior)


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


def _face_tracks(
    faces: FaceObservations, tracks: Sequence[Sequence[int]], classes: ClassSet, threshold: float | None
) -> tuple[FaceTrack, ...]:
    frames: dict[int, list[FaceFrame]] = {}
    for frame, numbers in enumerate(tracks):
        for row, number in zip(faces.rows(frame), numbers, strict=True):
            frames.setdefault(number, []).append(_face_frame(faces, frame, row, classes, threshold))
    return tuple(FaceTrack(track=number, frames=tuple(frames[number])) for number in sorted(frames))


def _face_frame(faces: FaceObservations, frame: int, row: int, classes: ClassSet, threshold: float | None) -> FaceFrame:
    """Return one face of a frame.

    It is built without validation and with one shared set of field names: an hour of them takes a third less memory.
    """
    reading = Reading.from_probabilities(_to_probabilities(faces.log_probabilities_NC[row], classes), threshold)
    mesh = None if faces.landmarks_NP3 is None else faces.landmarks_NP3[row]
    return FaceFrame.model_construct(
        _FRAME_FIELDS,
        time=float(faces.times_F[frame]),
        box=faces.box(row),
        score=float(faces.scores_N[row]),
        emotion=str(reading.emotion),
        probabilities=reading.probabilities,
        labels_90=reading.labels_90,
        uncertain=reading.uncertain,
        landmarks=None if mesh is None or np.isnan(mesh[0, 0]) else Mesh(mesh.tobytes()),
    )

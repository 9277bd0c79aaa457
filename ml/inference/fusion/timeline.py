"""Timeline: faces, voices and words on one time grid → face tracks, windows, moments and the overall reading."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import FloatArray, ModalityFeatures, TextReadingFeatures, TimeSpan
from ml.inference.face.movements import frame_fields
from ml.inference.face.observations import FaceObservations
from ml.inference.face.shots import shot_starts
from ml.inference.face.tracker import main_track, track_faces, track_weights
from ml.inference.fusion import dimensions
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
    Person,
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
    people: tuple[Person, ...] = ()


class TrackedFaces:
    """Faces with their track numbers; `tracks` are those of the boxes of each frame."""

    def __init__(self, faces: FaceObservations) -> None:
        self._faces, self._boxes = faces, faces.boxes_by_frame()
        self._scores = [
            [float(faces.scores_N[row]) for row in faces.rows(frame)] for frame in range(len(faces.times_F))
        ]
        times = faces.times_F.tolist()
        starts = () if faces.signatures_FS is None else shot_starts(times, faces.signatures_FS)
        self.tracks = track_faces(self._boxes, times, starts)

    def in_window(self, span: TimeSpan) -> WindowFaces:
        """Return the features of the main face of a window."""
        frames = self._frames(span)
        track = main_track(self._boxes[frames], self.tracks[frames], self._scores[frames])
        return self.of_tracks(span, () if track is None else (track,))

    def of_tracks(self, span: TimeSpan, tracks: Collection[int]) -> WindowFaces:
        """Return the features of a face in a window, whose tracks are never seen at once."""
        frames = self._frames(span)
        return WindowFaces(tuple(self._features(frame, tracks) for frame in range(frames.start, frames.stop)))

    def weights_in(self, span: TimeSpan, person_of: Mapping[int, int]) -> dict[int, float]:
        """Return how large, long and clearly each person is seen in a window, as `main_track` weighs tracks.

        `person_of`: person of each track.
        """
        frames = self._frames(span)
        people = [[person_of[track] for track in tracks] for tracks in self.tracks[frames]]
        return track_weights(self._boxes[frames], people, self._scores[frames])

    def _frames(self, span: TimeSpan) -> slice:
        return slice(*(int(np.searchsorted(self._faces.times_F, edge)) for edge in (span.start, span.end)))

    def _features(self, frame: int, tracks: Collection[int]) -> ModalityFeatures | None:
        for row, track in zip(self._faces.rows(frame), self.tracks[frame], strict=True):
            if track in tracks:
                return self._faces.features(row)
        return None


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
        faces=face_tracks(faces, tracked.tracks, options.classes, fusion.threshold("picture", "uniform")),
        moments=find_moments(windows),
    )


def image_timeline(faces: FaceObservations, fusion: FusionPredictor, options: Options) -> Timeline:
    """Return the faces of an image, largest first, and as the overall reading their mean."""
    tracks = [list(range(1, len(faces.rows(frame)) + 1)) for frame in range(len(faces.times_F))]
    threshold = fusion.threshold("picture", "uniform")
    found = face_tracks(faces, tracks, options.classes, threshold)
    distributions = [track.frames[0].probabilities for track in found]
    overall = Reading.empty(options.classes)
    if distributions:
        own = dimensions.mean(track.frames[0].dimensions for track in found)
        overall = Reading.from_probabilities(_weighted_mean(distributions), threshold)
        overall = overall.model_copy(update={"dimensions": own})
    return Timeline(labels_for(options.classes), overall, (), found, ())


def fuse_windows(
    faces: Sequence[WindowFaces],
    inputs: Sequence[WindowInputs],
    fusion: FusionPredictor,
    options: Options,
    people: Sequence[int | None] | None = None,
) -> tuple[Window, ...]:
    """Return the windows of faces, voices and words; the prior of the options applies to each of their readings.

    `people`: number of each window's person; null for windows without.
    """
    windows: list[Window] = []
    for first in range(0, len(inputs), FUSION_BATCH_SIZE):
        batch = slice(first, first + FUSION_BATCH_SIZE)
        features = [
            WindowFeatures(face.frames, each.voice.features, each.words.features if each.words else None, each.quality)
            for face, each in zip(faces[batch], inputs[batch], strict=True)
        ]
        readings = fusion.read(features, options.prior)
        make = _WindowMaker(readings, fusion, options)
        numbers = people[batch] if people else [None] * len(features)
        rows = enumerate(zip(inputs[batch], faces[batch], numbers, strict=True))
        windows += [make.window(row, each, face, person) for row, (each, face, person) in rows]
    return tuple(windows)


@dataclass(frozen=True)
class _WindowMaker:
    """Makes the windows of one batch of readings."""

    readings: WindowReadings
    fusion: FusionPredictor
    options: Options

    def window(self, row: int, inputs: WindowInputs, faces: WindowFaces, person: int | None) -> Window:
        present = {modality: self.readings.modality(row, modality) for modality in MODALITIES}
        reading = Reading.empty(self.options.classes)
        if any(logs is not None for logs in present.values()):
            probabilities = _to_probabilities(self.readings.combined_NC[row], self.options.classes)
            read = [modality for modality, logs in present.items() if logs is not None]
            threshold = combined_threshold(self.fusion, read, self.options)
            reading = Reading.from_probabilities(probabilities, threshold)
        spoken = inputs.words.dimensions if inputs.words else None
        face, audio, text = (self._reading(modality, present[modality], spoken) for modality in MODALITIES)
        own = dimensions.combined([each["dimensions"] for each in (face, audio, text) if each])
        return Window(
            **reading.model_dump(exclude={"dimensions"}),
            dimensions=own,
            start=inputs.span.start,
            end=inputs.span.end,
            modalities=Modalities(
                face=FaceReading(**face, coverage=faces.coverage) if face else None,
                audio=AudioReading(**audio, speech=inputs.voice.speech) if audio else None,
                text=TextReading(**text, **_words(inputs)) if text else None,
            ),
            missing=tuple(modality for modality, logs in present.items() if logs is None),
            person=person,
        )

    def _reading(self, modality: Modality, logs: FloatArray | None, spoken: FloatArray | None) -> dict[str, Any] | None:
        """Return the fields that the readings of all modalities have; null if it is absent. `spoken`: dimensions of the
        words."""
        if logs is None:
            return None
        probabilities = _to_probabilities(logs, self.options.classes)
        own = dimensions.of_words(spoken, logs) if modality == "text" else dimensions.of_emotions(logs)
        sure = certainty(probabilities, self._threshold(modality))
        return {"probabilities": probabilities, "dimensions": own, **sure}

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
    own = dimensions.mean([window.dimensions for window in read], weights)
    return Reading.from_probabilities(mean, mean_threshold).model_copy(update={"dimensions": own})


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


def face_tracks(
    faces: FaceObservations,
    tracks: Sequence[Sequence[int]],
    classes: ClassSet,
    threshold: float | None,
    person_of: Mapping[int, int] | None = None,
) -> tuple[FaceTrack, ...]:
    """Return the faces of each track. `tracks`: of each frame; `threshold`: as in `certainty`; `person_of`: person of
    each track."""
    frames: dict[int, list[FaceFrame]] = {}
    for frame, numbers in enumerate(tracks):
        for row, number in zip(faces.rows(frame), numbers, strict=True):
            frames.setdefault(number, []).append(_face_frame(faces, frame, row, classes, threshold))
    people = person_of or {}
    return tuple(
        FaceTrack(track=number, frames=tuple(frames[number]), person=people.get(number)) for number in sorted(frames)
    )


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
        dimensions=dimensions.of_emotions(faces.log_probabilities_NC[row]),
        landmarks=None if mesh is None or np.isnan(mesh[0, 0]) else Mesh(mesh.tobytes()),
        **frame_fields(None if faces.movements_NV is None else faces.movements_NV[row]),
    )

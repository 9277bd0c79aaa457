"""What is seen: frames → faces with their readings, on the absolute time grid."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import ModalityFeatures
from ml.inference.face.predictor import DetectedFace, FaceDetector
from ml.inference.runtime.batching import FaceReader
from ml.networks.crops import LANDMARKS
from ml.results import Box

_BOX_FIELDS = set(Box.model_fields)
MAX_PENDING_BATCHES = 4
"""Most batches of crops that wait for the network beside which faces are searched."""


@dataclass(frozen=True)
class FaceObservations:
    """The sampled frames and the faces in them, as arrays: hours of them weigh little.

    `times_F`: seconds. The faces of frame f are the rows from `starts_G`[f] to `starts_G`[f + 1]; G = F + 1. Boxes (x,
    y, width, height) and landmarks are pixels of the original frame; `ranks_N`: the place of the face among all that
    were found in its frame, largest first. `landmarks_NP3` is null unless they were asked for, and NaN for a face
    without a mesh.
    """

    times_F: NDArray[np.float64]
    starts_G: NDArray[np.int64]
    boxes_N4: NDArray[np.float64]
    scores_N: NDArray[np.float32]
    ranks_N: NDArray[np.uint8]
    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]
    landmarks_NP3: NDArray[np.float32] | None = None

    @classmethod
    def empty(cls, embedding: int = 1, *, landmarks: bool = False) -> Self:
        """No frame. `embedding`: size of one."""
        return cls(
            times_F=np.zeros(0),
            starts_G=np.zeros(1, np.int64),
            boxes_N4=np.zeros((0, 4)),
            scores_N=np.zeros(0, np.float32),
            ranks_N=np.zeros(0, np.uint8),
            embeddings_NE=np.zeros((0, embedding), np.float32),
            log_probabilities_NC=np.zeros((0, 7), np.float32),
            landmarks_NP3=np.zeros((0, LANDMARKS, 3), np.float32) if landmarks else None,
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Of parts that follow each other; at least one."""
        first = parts[0]
        merged = {
            each.name: np.concatenate([getattr(part, each.name) for part in parts])
            for each in fields(cls)
            if each.name != "starts_G" and getattr(first, each.name) is not None
        }
        counts = np.concatenate([np.diff(part.starts_G) for part in parts])
        return cls(starts_G=np.concatenate([[0], np.cumsum(counts)]), **merged)

    def rows(self, frame: int) -> range:
        return range(int(self.starts_G[frame]), int(self.starts_G[frame + 1]))

    def evidence(self, row: int) -> ModalityFeatures:
        return ModalityFeatures(self.embeddings_NE[row], self.log_probabilities_NC[row])

    def box(self, row: int) -> Box:
        x, y, width, height = self.boxes_N4[row].tolist()
        return Box.model_construct(_BOX_FIELDS, x=x, y=y, width=width, height=height)

    def boxes_by_frame(self) -> list[list[Box]]:
        """Of each frame."""
        return [[self.box(row) for row in self.rows(frame)] for frame in range(len(self.times_F))]

    def subsample(self, rate: float, every: int, max_faces: int, *, landmarks: bool) -> "FaceObservations":
        """What would have been seen in every n-th frame of the grid, with fewer faces, or without landmarks. `rate`:
        frames a second of this one."""
        frames = np.flatnonzero(np.round(self.times_F * rate).astype(np.int64) % every == 0)
        rows = [[row for row in self.rows(frame) if self.ranks_N[row] < max_faces] for frame in frames.tolist()]
        kept = np.array([row for each in rows for row in each], np.int64)
        counts = np.array([len(each) for each in rows], np.int64)
        return FaceObservations(
            times_F=self.times_F[frames],
            starts_G=np.concatenate([[0], np.cumsum(counts)]),
            boxes_N4=self.boxes_N4[kept],
            scores_N=self.scores_N[kept],
            ranks_N=self.ranks_N[kept],
            embeddings_NE=self.embeddings_NE[kept],
            log_probabilities_NC=self.log_probabilities_NC[kept],
            landmarks_NP3=self.landmarks_NP3[kept] if landmarks and self.landmarks_NP3 is not None else None,
        )


@dataclass(frozen=True)
class DetectedFrame:
    """The faces of a frame at `time`; `scale`: original pixels for one pixel of the image."""

    time: float
    scale: float
    faces: list[DetectedFace]


@dataclass(frozen=True)
class PendingFrame:
    """`scale`: original pixels for one pixel of the image."""

    time: float
    image_HWC: NDArray[np.uint8]
    scale: float


@dataclass
class FaceCollector:
    """Collects the faces of a stream of frames. Frames are searched as many together as suit the detector, crops go
    through the network as many together as suit that. `beside`: a thread of its own that reads them while the next
    frames are searched."""

    detector: FaceDetector
    predictor: FaceReader
    max_faces: int
    keep_landmarks: bool
    executor: Executor | None = None
    _unsearched: list[PendingFrame] = field(default_factory=list)
    _waiting: list[DetectedFrame] = field(default_factory=list)
    _parts: list[Callable[[], FaceObservations]] = field(default_factory=list)
    _held: int = 0

    def add(self, time: float, image_HWC: NDArray[np.uint8], scale: float) -> None:
        """Takes a frame, whose image is kept until it is searched. `scale`: original pixels for one pixel of it."""
        self._unsearched.append(PendingFrame(time, image_HWC, scale))
        if len(self._unsearched) >= self.detector.batch_size:
            self._search()
        if self._held >= self.predictor.batch:
            self.flush()

    def _search(self) -> None:
        frames, self._unsearched = self._unsearched, []
        every = self.detector.detect_batch([frame.image_HWC for frame in frames], self.max_faces)
        self._waiting += [
            DetectedFrame(frame.time, frame.scale, faces) for frame, faces in zip(frames, every, strict=True)
        ]
        self._held += sum(map(len, every))

    def flush(self) -> None:
        """Reads the frames that wait. Where that is done decides which are read together, and so their last digits."""
        if self._unsearched:
            self._search()
        waiting, self._waiting, self._held = self._waiting, [], 0
        if not waiting:
            return
        if self.executor is None:
            part = self._read(waiting)
            self._parts.append(lambda: part)
            return
        if len(self._parts) >= MAX_PENDING_BATCHES:
            self._parts[-MAX_PENDING_BATCHES]()
        self._parts.append(self.executor.submit(self._read, waiting).result)

    def result(self) -> FaceObservations:
        self.flush()
        empty = FaceObservations.empty(self.predictor.embedding_size, landmarks=self.keep_landmarks)
        return FaceObservations.concatenated([empty, *(part() for part in self._parts)])

    def _read(self, frames: Sequence[DetectedFrame]) -> FaceObservations:
        faces = [(face, frame.scale) for frame in frames for face in frame.faces]
        outputs = self.predictor.predict([face.crop for face, _ in faces], [face.landmarks for face, _ in faces])
        counts = [len(frame.faces) for frame in frames]
        boxes = [[float(side) * scale for side in face.box] for face, scale in faces]
        return FaceObservations(
            times_F=np.array([frame.time for frame in frames], np.float64),
            starts_G=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
            boxes_N4=np.array(boxes, np.float64).reshape(-1, 4),
            scores_N=np.array([face.score for face, _ in faces], np.float32),
            ranks_N=np.array([face.rank for face, _ in faces], np.uint8),
            embeddings_NE=outputs.embeddings_NE,
            log_probabilities_NC=outputs.log_probabilities_NC,
            landmarks_NP3=_landmarks(faces) if self.keep_landmarks else None,
        )


def _landmarks(faces: Sequence[tuple[DetectedFace, float]]) -> NDArray[np.float32]:
    found = np.full((len(faces), LANDMARKS, 3), np.nan, np.float32)
    for row, (face, scale) in enumerate(faces):
        if face.landmarks is not None:
            found[row] = face.landmarks * np.float32(scale)
    return found

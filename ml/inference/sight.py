"""What is seen: frames → faces with their readings, on the absolute time grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.features.face import LANDMARKS
from ml.inference.face import DetectedFace, FaceDetector
from ml.inference.fusion import Evidence
from ml.inference.together import FaceReader
from ml.results import Box

CROPS_HELD = 512
"""Most crops that wait for the network."""


@dataclass(frozen=True)
class Sight:
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
    def joined(cls, parts: Sequence[Self]) -> Self:
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

    def evidence(self, row: int) -> Evidence:
        return Evidence(self.embeddings_NE[row], self.log_probabilities_NC[row])

    def box(self, row: int) -> Box:
        x, y, width, height = self.boxes_N4[row].tolist()
        return Box(x=x, y=y, width=width, height=height)

    def boxes(self) -> list[list[Box]]:
        """Of each frame."""
        return [[self.box(row) for row in self.rows(frame)] for frame in range(len(self.times_F))]

    def as_asked(self, rate: float, every: int, max_faces: int, *, landmarks: bool) -> "Sight":
        """What would have been seen in every n-th frame of the grid, with fewer faces, or without landmarks. `rate`:
        frames a second of this one."""
        frames = np.flatnonzero(np.round(self.times_F * rate).astype(np.int64) % every == 0)
        rows = [[row for row in self.rows(frame) if self.ranks_N[row] < max_faces] for frame in frames.tolist()]
        kept = np.array([row for each in rows for row in each], np.int64)
        counts = np.array([len(each) for each in rows], np.int64)
        return Sight(
            times_F=self.times_F[frames],
            starts_G=np.concatenate([[0], np.cumsum(counts)]),
            boxes_N4=self.boxes_N4[kept],
            scores_N=self.scores_N[kept],
            ranks_N=self.ranks_N[kept],
            embeddings_NE=self.embeddings_NE[kept],
            log_probabilities_NC=self.log_probabilities_NC[kept],
            landmarks_NP3=self.landmarks_NP3[kept] if landmarks and self.landmarks_NP3 is not None else None,
        )


@dataclass
class Watcher:
    """Collects the faces of a stream of frames; crops go through the network together, a bounded number at a time."""

    detector: FaceDetector
    predictor: FaceReader
    max_faces: int
    keep_landmarks: bool
    _waiting: list[tuple[float, float, list[DetectedFace]]] = field(default_factory=list)
    _parts: list[Sight] = field(default_factory=list)
    _held: int = 0

    def watch(self, time: float, image_HWC: NDArray[np.uint8], scale: float) -> None:
        """Finds the faces of a frame. `scale`: original pixels for one pixel of the image."""
        found = self.detector.detect(image_HWC, self.max_faces)
        self._waiting.append((time, scale, found))
        self._held += len(found)
        if self._held >= CROPS_HELD:
            self.read()

    def read(self) -> None:
        """Reads the crops that wait. Where that is done decides which are read together, and so their last digits."""
        if self._waiting:
            self._parts.append(self._read())
        self._waiting.clear()
        self._held = 0

    def finish(self) -> Sight:
        self.read()
        empty = Sight.empty(self.predictor.embedding_size, landmarks=self.keep_landmarks)
        return Sight.joined([empty, *self._parts])

    def _read(self) -> Sight:
        faces = [(face, scale) for _, scale, found in self._waiting for face in found]
        outputs = self.predictor.predict([face.crop for face, _ in faces], [face.landmarks for face, _ in faces])
        counts = [len(found) for _, _, found in self._waiting]
        boxes = [[float(side) * scale for side in face.box] for face, scale in faces]
        return Sight(
            times_F=np.array([time for time, _, _ in self._waiting], np.float64),
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

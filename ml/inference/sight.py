"""What is seen: frames → faces with their readings, on the absolute time grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.inference.face import DetectedFace, FaceDetector, FacePredictor
from ml.inference.fusion import Evidence
from ml.results import Box

CROPS_HELD = 2048


@dataclass(frozen=True)
class SeenFace:
    """One face in one frame. Box and landmarks ([468, 3]) are pixels of the original frame."""

    box: Box
    score: float
    landmarks: NDArray[np.float32] | None
    evidence: Evidence


@dataclass(frozen=True)
class Sight:
    """The sampled frames: their times in seconds, and the faces of each."""

    times: tuple[float, ...] = ()
    faces: tuple[tuple[SeenFace, ...], ...] = ()


@dataclass
class Watcher:
    """Collects the faces of a stream of frames; crops go through the network together, a bounded number at a time."""

    detector: FaceDetector
    predictor: FacePredictor
    max_faces: int
    keep_landmarks: bool
    _times: list[float] = field(default_factory=list)
    _detected: list[tuple[float, list[DetectedFace]]] = field(default_factory=list)
    _faces: list[tuple[SeenFace, ...]] = field(default_factory=list)
    _held: int = 0

    def watch(self, time: float, image_HWC: NDArray[np.uint8], scale: float) -> None:
        """Finds the faces of a frame. `scale`: original pixels for one pixel of the image."""
        found = self.detector.detect(image_HWC, self.max_faces)
        self._times.append(time)
        self._detected.append((scale, found))
        self._held += len(found)
        if self._held >= CROPS_HELD:
            self._read()

    def finish(self) -> Sight:
        self._read()
        return Sight(tuple(self._times), tuple(self._faces))

    def _read(self) -> None:
        found = [face for _, faces in self._detected for face in faces]
        evidence = iter(read_faces(self.predictor, found))
        for scale, faces in self._detected:
            self._faces.append(tuple(self._seen(face, scale, next(evidence)) for face in faces))
        self._detected.clear()
        self._held = 0

    def _seen(self, face: DetectedFace, scale: float, evidence: Evidence) -> SeenFace:
        x, y, width, height = (float(side) * scale for side in face.box)
        landmarks = face.landmarks * np.float32(scale) if self.keep_landmarks and face.landmarks is not None else None
        return SeenFace(Box(x=x, y=y, width=width, height=height), face.score, landmarks, evidence)


def read_faces(predictor: FacePredictor, faces: Sequence[DetectedFace]) -> list[Evidence]:
    """One forward over all the crops."""
    if not faces:
        return []
    outputs = predictor.predict([face.crop for face in faces])
    return [Evidence(*pair) for pair in zip(outputs.embeddings_NE, outputs.log_probabilities_NC, strict=True)]

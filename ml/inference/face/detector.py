"""Face detection in single images: boxes, meshes, and the crops that the face network reads."""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.cpu import cpu_count
from ml.inference.face.backends.base import FaceBackend, Image, Mesh, Rectangle, iou, mediapipe_graphs
from ml.networks.crops import align_crop, box_crop

MIN_UNCONFIRMED_SCORE = 0.8
"""Minimum score of a face that the mesh does not confirm: small faces and profiles."""
CLOSE_UP_SCALE = 1.7
"""Side of the close-up that is searched for the mesh, in sides of the detector's box."""
MIN_BOX_SIDE = 8
"""Minimum side of a box, in pixels."""
MIN_CLOSE_UP_SIDE = 192
"""Minimum side of a close-up, in pixels."""
SAME_FACE_IOU = 0.4
"""Intersection over union from which two boxes are taken for one face."""


@dataclass(frozen=True)
class DetectedFace:
    """Face of an image, in pixels of that image.

    `landmarks`: mesh [468, 3]; `crop`: grey square as the face network takes it; `rank`: place by size among all faces
    of the image, largest first.
    """

    box: Rectangle
    score: float
    landmarks: NDArray[np.float32] | None
    crop: NDArray[np.uint8]
    rank: int = 0


class FaceDetector:
    """Detects the faces of images, each independently of the others. A context manager, for one thread at a time."""

    def __init__(self, crop_size: int, open_backend: Callable[[], FaceBackend] = mediapipe_graphs) -> None:
        """`crop_size`: side of the crops, in pixels."""
        self._crop_size = crop_size
        self._open_backend = open_backend

    def __enter__(self) -> Self:
        self._backend = self._open_backend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._backend.close()

    @property
    def batch_size(self) -> int:
        """Number of images that are searched together at best."""
        return self._backend.batch_size

    def detect(self, image_HWC: Image, max_faces: int) -> list[DetectedFace]:
        """Return the faces of an RGB image, largest first, at most `max_faces`."""
        return self.detect_batch([image_HWC], max_faces)[0]

    def detect_batch(self, images: Sequence[Image], max_faces: int) -> list[list[DetectedFace]]:
        """Return the faces of each RGB image, largest first, at most `max_faces` per image."""
        candidates = [
            [
                _Candidate.from_box(image_HWC, rank, box, score)
                for rank, (box, score) in enumerate(_distinct_boxes(detections, image_HWC)[:max_faces])
            ]
            for image_HWC, detections in zip(images, self._backend.detect(images), strict=True)
        ]
        meshes = iter(self._backend.landmarks([each.close_up for of_image in candidates for each in of_image]))
        faces = (
            [self._confirm(image_HWC, candidate, next(meshes)) for candidate in of_image]
            for image_HWC, of_image in zip(images, candidates, strict=True)
        )
        return [[face for face in of_image if face is not None] for of_image in faces]

    def _confirm(self, image_HWC: Image, candidate: "_Candidate", mesh: Mesh | None) -> DetectedFace | None:
        """Return the face, or None if neither a mesh nor its score confirms it."""
        box, score, size = candidate.box, candidate.score, self._crop_size
        if mesh is not None:
            landmarks = candidate.to_image(mesh)
            return DetectedFace(box, score, landmarks, align_crop(image_HWC, landmarks, size), candidate.rank)
        if score >= MIN_UNCONFIRMED_SCORE:
            return DetectedFace(box, score, None, box_crop(image_HWC, box, size), candidate.rank)
        return None


def _distinct_boxes(detections: Sequence[tuple[Rectangle, float]], image_HWC: Image) -> list[tuple[Rectangle, float]]:
    """Return the boxes in pixels, one per face (that of the highest score), the largest first."""
    height, width = image_HWC.shape[:2]
    in_pixels = [((x * width, y * height, w * width, h * height), score) for (x, y, w, h), score in detections]
    kept: list[tuple[Rectangle, float]] = []
    for box, score in sorted(in_pixels, key=lambda pair: (-pair[1], pair[0])):
        if min(box[2:]) >= MIN_BOX_SIDE and all(iou(box, other) < SAME_FACE_IOU for other, _ in kept):
            kept.append((box, score))
    return sorted(kept, key=lambda pair: (-pair[0][2] * pair[0][3], pair[0]))


@dataclass(frozen=True)
class _Candidate:
    """Box that may show a face, and a close-up of the square around it, at least MIN_CLOSE_UP_SIDE pixels wide.

    `corner`: top left of the square in the image; `side`: its side there. Pixels.
    """

    rank: int
    box: Rectangle
    score: float
    close_up: Image
    corner: tuple[int, int]
    side: int

    @classmethod
    def from_box(cls, image_HWC: Image, rank: int, box: Rectangle, score: float) -> Self:
        x, y, width, height = box
        wide = max(width, height) * CLOSE_UP_SCALE
        left, top = (round(centre - wide / 2) for centre in (x + width / 2, y + height / 2))
        side = max(round(wide), 1)
        target = max(side, MIN_CLOSE_UP_SIDE)
        scale = side / target
        matrix = np.array([[1 / scale, 0, -left / scale], [0, 1 / scale, -top / scale]])
        close_up = cv2.warpAffine(image_HWC, matrix, (target, target), borderMode=cv2.BORDER_REPLICATE)
        return cls(rank, box, score, np.asarray(close_up, np.uint8), (left, top), side)

    def to_image(self, mesh: Mesh) -> Mesh:
        """Convert a mesh in fractions of the close-up to pixels of the image."""
        return np.asarray(mesh * self.side + np.array([*self.corner, 0], np.float32))


class DetectorPool:
    """Detectors that are reused, at most one per CPU core: building one takes longer than searching an image."""

    def __init__(self, crop_size: int, open_backend: Callable[[], FaceBackend] = mediapipe_graphs) -> None:
        self._crop_size, self._open_backend = crop_size, open_backend
        self._free: list[FaceDetector] = []
        self._slots = threading.BoundedSemaphore(cpu_count())
        weakref.finalize(self, _close_all, self._free).atexit = False

    @contextmanager
    def borrow(self) -> Iterator[FaceDetector]:
        """Yield a detector that no other thread uses; one that raised is closed instead of reused."""
        with self._slots:
            detector = self._free.pop() if self._free else FaceDetector(self._crop_size, self._open_backend).__enter__()
            try:
                yield detector
            except BaseException:
                detector.__exit__(None, None, None)
                raise
            self._free.append(detector)


def _close_all(detectors: list[FaceDetector]) -> None:
    for detector in detectors:
        detector.__exit__(None, None, None)

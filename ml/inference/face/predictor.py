"""Faces as served: where they are (mediapipe), and what their expression is (the face net)."""

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.cpu import cpu_count
from ml.inference.face.backends.base import FaceBackend, Mesh, Rectangle, iou, mediapipe_graphs
from ml.inference.runtime.batch_metrics import record_batch
from ml.inference.runtime.device import CudaGraphRunner, autocast, to_device
from ml.inference.runtime.fuse import fuse_batch_norm
from ml.inference.runtime.onnx_session import OnnxSession
from ml.networks.crops import align_crop, box_crop, normalize_landmarks
from ml.networks.face import FaceNet, predict_with_flip_tta
from ml.networks.face_landmarks import FaceLandmarkNet
from ml.networks.hub import HubFaceClassifier
from ml.registry import ModelStore
from ml.vocabulary import EMOTIONS

CONFIDENT_SCORE = 0.8
"""A face that the mesh does not confirm is kept from this score on: small ones and profiles."""
CLOSE_UP = 1.7
"""Side of the picture that the mesh is given, in sides of the detector's box."""
LEAST_SIDE = 8
"""Of a box, in pixels."""
LEAST_MESH_SIDE = 192
SAME_FACE = 0.4
"""Two boxes that overlap by more (intersection over union) are one face."""
FACE_BATCH_SIZE = 256
CPU_BATCH = 4
"""More at once take as long for each, and more memory."""


@dataclass(frozen=True)
class DetectedFace:
    """Pixels of the given image. `box`: x, y, width, height; `landmarks`: [468, 3]; `crop`: as the net wants it;
    `rank`: its place among all that were found, largest first."""

    box: Rectangle
    score: float
    landmarks: NDArray[np.float32] | None
    crop: NDArray[np.uint8]
    rank: int = 0


@dataclass(frozen=True)
class FaceOutputs:
    """Embeddings [N, E] and calibrated log-probabilities [N, 7]."""

    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]


class FaceDetector:
    """Finds faces, frame by frame, without memory: a frame's faces do not depend on those before. For one thread at a
    time, as a context manager. `size`: side of the crops; `search`: what searches the images."""

    def __init__(self, size: int, search: Callable[[], FaceBackend] = mediapipe_graphs) -> None:
        self.size = size
        self._make = search

    def __enter__(self) -> Self:
        self._search = self._make()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._search.close()

    @property
    def batch_size(self) -> int:
        """Images that are searched together at best."""
        return self._search.at_once

    def detect(self, image_HWC: NDArray[np.uint8], max_faces: int) -> list[DetectedFace]:
        """The faces of an RGB image, largest first, at most `max_faces`."""
        return self.detect_batch([image_HWC], max_faces)[0]

    def detect_batch(self, images: Sequence[NDArray[np.uint8]], max_faces: int) -> list[list[DetectedFace]]:
        """The faces of each RGB image, largest first, at most `max_faces` of one."""
        candidates = [
            [
                _Candidate.of(image_HWC, rank, *found)
                for rank, found in enumerate(_largest(boxes, image_HWC)[:max_faces])
            ]
            for image_HWC, boxes in zip(images, self._search.boxes(images), strict=True)
        ]
        meshes = iter(self._search.meshes([one.close_up for each in candidates for one in each]))
        faces = (
            [self._confirmed(image_HWC, one, next(meshes)) for one in each]
            for image_HWC, each in zip(images, candidates, strict=True)
        )
        return [[face for face in each if face is not None] for each in faces]

    def _confirmed(self, image_HWC: NDArray[np.uint8], one: "_Candidate", mesh: Mesh | None) -> DetectedFace | None:
        if mesh is not None:
            landmarks = one.placed(mesh)
            return DetectedFace(one.box, one.score, landmarks, align_crop(image_HWC, landmarks, self.size), one.rank)
        if one.score >= CONFIDENT_SCORE:
            return DetectedFace(one.box, one.score, None, box_crop(image_HWC, one.box, self.size), one.rank)
        return None


def _largest(boxes: Sequence[tuple[Rectangle, float]], image_HWC: NDArray[np.uint8]) -> list[tuple[Rectangle, float]]:
    """The boxes in pixels, each face once (by its surest), the largest first."""
    height, width = image_HWC.shape[:2]
    every = [((x * width, y * height, w * width, h * height), score) for (x, y, w, h), score in boxes]
    kept: list[tuple[Rectangle, float]] = []
    for box, score in sorted(every, key=lambda pair: (-pair[1], pair[0])):
        if min(box[2:]) >= LEAST_SIDE and all(iou(box, other) < SAME_FACE for other, _ in kept):
            kept.append((box, score))
    return sorted(kept, key=lambda pair: (-pair[0][2] * pair[0][3], pair[0]))


@dataclass(frozen=True)
class _Candidate:
    """A box that may hold a face, and a picture, not below LEAST_MESH_SIDE, of the square around it: that lies at
    `corner` and is `side` pixels wide."""

    rank: int
    box: Rectangle
    score: float
    close_up: NDArray[np.uint8]
    corner: tuple[int, int]
    side: int

    @classmethod
    def of(cls, image_HWC: NDArray[np.uint8], rank: int, box: Rectangle, score: float) -> Self:
        x, y, width, height = box
        wide = max(width, height) * CLOSE_UP
        left, top = (round(centre - wide / 2) for centre in (x + width / 2, y + height / 2))
        side = max(round(wide), 1)
        target = max(side, LEAST_MESH_SIDE)
        scale = side / target
        matrix = np.array([[1 / scale, 0, -left / scale], [0, 1 / scale, -top / scale]])
        close_up = cv2.warpAffine(image_HWC, matrix, (target, target), borderMode=cv2.BORDER_REPLICATE)
        return cls(rank, box, score, np.asarray(close_up, np.uint8), (left, top), side)

    def placed(self, mesh: Mesh) -> Mesh:
        """A mesh of the close-up in pixels of the whole image."""
        return np.asarray(mesh * self.side + np.array([*self.corner, 0], np.float32))


class DetectorPool:
    """Detectors that are kept for pictures and films, as many as cores: to build one takes longer than to search a
    picture."""

    def __init__(self, size: int, search: Callable[[], FaceBackend] = mediapipe_graphs) -> None:
        self._size, self._search = size, search
        self._free: list[FaceDetector] = []
        self._turn = threading.BoundedSemaphore(cpu_count())
        weakref.finalize(self, _close, self._free).atexit = False

    @contextmanager
    def borrow(self) -> Iterator[FaceDetector]:
        """One that nobody else has meanwhile."""
        with self._turn:
            detector = self._free.pop() if self._free else FaceDetector(self._size, self._search).__enter__()
            try:
                yield detector
            except BaseException:
                detector.__exit__(None, None, None)
                raise
            self._free.append(detector)


def _close(detectors: list[FaceDetector]) -> None:
    for detector in detectors:
        detector.__exit__(None, None, None)


class _Reading(nn.Module):
    """Crops uint8 [N, size, size], for a net with a branch for them points [N, 468, 3] too → embeddings and logits,
    float32, flip-averaged."""

    def __init__(self, network: FaceNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops_NHW: Tensor, points_NP3: Tensor | None = None) -> tuple[Tensor, ...]:
        with autocast(crops_NHW.device):
            found = predict_with_flip_tta(self.network, crops_NHW.unsqueeze(1).float() / 255, points_NP3)
        return tuple(part.float() for part in found)


class FacePredictor:
    """Crops → expression. Deterministic; flip-averaged; calibrated by the manifest's temperature."""

    def __init__(self, make: Callable[[], FaceNet], temperature: float, device: torch.device) -> None:
        """`make`: the net, anew each time it is called."""
        self._make, self._temperature, self.device = make, temperature, device
        network = self._made()
        self._config = network.config
        self.uses_landmarks = isinstance(network, FaceLandmarkNet)
        self.is_explainable = not isinstance(network, HubFaceClassifier)
        """Whether the net is of a shape that explanations know."""
        self._read = self._way_of(network)

    @classmethod
    def load(cls, store: ModelStore, reference: str, device: torch.device) -> Self:
        """Raises ModelStoreError when the store has no such model, or it is damaged."""

        def make() -> FaceNet:
            network = cast(FaceNet, store.network(reference))
            if not isinstance(network, HubFaceClassifier):
                fuse_batch_norm(network)
            return network

        return cls(make, store.manifest(reference).temperature, device)

    def _way_of(self, network: FaceNet) -> Callable[..., tuple[Tensor, ...]]:
        """How the net is run."""
        reading = _Reading(network).eval()
        if self.device.type == "cpu" and self.is_explainable:
            return OnnxSession(reading, *self._example())
        return reading if self.uses_landmarks else CudaGraphRunner(reading)

    @cached_property
    def network(self) -> FaceNet:
        """A net of their own for those who look into it."""
        return self._made()

    def _made(self) -> FaceNet:
        return self._make().to(self.device).eval()

    @property
    def embedding_size(self) -> int:
        return self._config.embedding

    @property
    def crop_size(self) -> int:
        return self._config.size

    @property
    def batch_size(self) -> int:
        """Crops of one forward at most."""
        return CPU_BATCH if self.device.type == "cpu" else FACE_BATCH_SIZE

    @torch.inference_mode()
    def predict(
        self, crops: Sequence[NDArray[np.uint8]], landmarks: Sequence[NDArray[np.float32] | None] = ()
    ) -> FaceOutputs:
        """`crops`: grey, uint8 [crop_size, crop_size] each. `landmarks`: the mesh of each in pixels [468, 3], null
        where there is none; used by nets with a branch for it.

        Answers are copied together: those of each forward, kept where they were made, would lie scattered among what
        forwards free, which then is not used again (gigabytes, for some thousand crops).
        """
        size = self.crop_size
        stacked = np.stack(crops) if len(crops) else np.zeros((0, size, size), np.uint8)
        embeddings_NE = np.zeros((len(stacked), self.embedding_size), np.float32)
        logs_NC = np.zeros((len(stacked), len(EMOTIONS)), np.float32)
        for first in range(0, len(stacked), self.batch_size):
            batch = to_device(torch.from_numpy(stacked[first : first + self.batch_size]), self.device)
            record_batch("face", len(batch))
            meshes = landmarks[first : first + self.batch_size] or [None] * len(batch)
            embedding, logits = self._read(batch, *self._points(meshes))
            rows = slice(first, first + len(batch))
            embeddings_NE[rows] = embedding.cpu().numpy()
            logs_NC[rows] = (logits / self._temperature).log_softmax(-1).cpu().numpy()
        return FaceOutputs(embeddings_NE, logs_NC)

    def warm_up(self) -> FaceOutputs:
        """Runs the net once; on a GPU it is recorded."""
        side = self.crop_size
        if self.device.type == "cuda" and isinstance(self._read, CudaGraphRunner):
            self._read.record(torch.zeros(side, side, dtype=torch.uint8, device=self.device))
        return self.predict([np.zeros((side, side), np.uint8)])

    def _points(self, landmarks: Sequence[NDArray[np.float32] | None]) -> tuple[Tensor, ...]:
        """[N, 468, 3], normalised, for a net with a branch for them."""
        if not self.uses_landmarks:
            return ()
        return (torch.from_numpy(np.stack([normalize_landmarks(mesh) for mesh in landmarks])).to(self.device),)

    def _example(self) -> tuple[Tensor, ...]:
        """Of two faces, what the net is given."""
        return torch.zeros(2, self.crop_size, self.crop_size, dtype=torch.uint8), *self._points([None, None])

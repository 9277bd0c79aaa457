"""Faces of sampled frames with their readings, on the absolute time grid."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ml.inference.api import BatchPredictor, ModalityFeatures
from ml.inference.face.boxes import Rectangle
from ml.inference.face.detector import DetectedFace, FaceDetector, SearchResult
from ml.inference.face.frame_search import FrameSearch, SearchKind
from ml.inference.face.identity import IdentityReader
from ml.inference.face.movements import VALUES, MovementPredictor
from ml.inference.face.predictor import FaceSample
from ml.inference.face.quality import QUALITIES, face_quality
from ml.inference.face.shots import SIGNATURE_SIZE, Signature, begins_shot, signature
from ml.networks.crops import LANDMARKS
from ml.networks.face_identity import IDENTITY_SIZE
from ml.results import Box

_BOX_FIELDS = set(Box.model_fields)
MAX_MISSED_SIDE = 48
"""Side of a box, in original pixels, below which a detection that no mesh confirms may be a small face."""
MAX_PENDING_BATCHES = 4
"""Maximum number of batches that wait for the network while further frames are searched."""


@dataclass(frozen=True)
class FaceObservations:
    """Faces of sampled frames as arrays, so that hours of them need little memory.

    `times_F`: seconds. The faces of frame f are the rows from `starts_G`[f] to `starts_G`[f + 1]; G = F + 1. Boxes (x,
    y, width, height) and landmarks are pixels of the original frame; `ranks_N`: place by size among all faces of the
    frame, largest first. `landmarks_NP3` is null if they are not kept, and NaN for a face without a mesh.
    `qualities_NQ`: the QUALITIES of each face; `missed_F`: small detections of a frame that no mesh confirmed;
    both are null in features that were stored by versions before 0.3. `movements_NV`: VALUES of each face, null if they
    were not requested. `signatures_FS`: what `shot_starts` compares; null without shots.
    `is_identified_N`: whether a face has an identity, and `identities_IE`: unit vectors of those that have; null if
    people are not distinguished. The names of the fields are keys of the features file.
    """

    times_F: NDArray[np.float64]
    starts_G: NDArray[np.int64]
    boxes_N4: NDArray[np.float64]
    scores_N: NDArray[np.float32]
    ranks_N: NDArray[np.uint8]
    embeddings_NE: NDArray[np.float32]
    log_probabilities_NC: NDArray[np.float32]
    landmarks_NP3: NDArray[np.float32] | None = None
    qualities_NQ: NDArray[np.float32] | None = None
    missed_F: NDArray[np.uint8] | None = None
    movements_NV: NDArray[np.float32] | None = None
    signatures_FS: NDArray[np.uint8] | None = None
    is_identified_N: NDArray[np.bool_] | None = None
    identities_IE: NDArray[np.float32] | None = None

    @classmethod
    def empty(
        cls,
        embedding_size: int = 1,
        *,
        landmarks: bool = False,
        movements: bool = False,
        signatures: bool = False,
        identities: bool = False,
    ) -> Self:
        """Return observations of no frame."""
        return cls(
            times_F=np.zeros(0),
            starts_G=np.zeros(1, np.int64),
            boxes_N4=np.zeros((0, 4)),
            scores_N=np.zeros(0, np.float32),
            ranks_N=np.zeros(0, np.uint8),
            embeddings_NE=np.zeros((0, embedding_size), np.float32),
            log_probabilities_NC=np.zeros((0, 7), np.float32),
            landmarks_NP3=np.zeros((0, LANDMARKS, 3), np.float32) if landmarks else None,
            qualities_NQ=np.zeros((0, len(QUALITIES)), np.float32),
            missed_F=np.zeros(0, np.uint8),
            movements_NV=np.zeros((0, len(VALUES)), np.float32) if movements else None,
            signatures_FS=np.zeros((0, SIGNATURE_SIZE), np.uint8) if signatures else None,
            is_identified_N=np.zeros(0, np.bool_) if identities else None,
            identities_IE=np.zeros((0, IDENTITY_SIZE), np.float32) if identities else None,
        )

    @classmethod
    def concatenated(cls, parts: Sequence[Self]) -> Self:
        """Concatenate consecutive parts, of which there is at least one. What one part lacks, the whole lacks."""
        merged = {
            each.name: np.concatenate([getattr(part, each.name) for part in parts])
            for each in fields(cls)
            if each.name != "starts_G" and all(getattr(part, each.name) is not None for part in parts)
        }
        counts = np.concatenate([np.diff(part.starts_G) for part in parts])
        return cls(starts_G=np.concatenate([[0], np.cumsum(counts)]), **merged)

    def rows(self, frame: int) -> range:
        """Return the rows of the faces of a frame."""
        return range(int(self.starts_G[frame]), int(self.starts_G[frame + 1]))

    def features(self, row: int) -> ModalityFeatures:
        """Return the features of a face, with its quality."""
        quality = None if self.qualities_NQ is None else self.qualities_NQ[row]
        return ModalityFeatures(self.embeddings_NE[row], self.log_probabilities_NC[row], quality)

    def box(self, row: int) -> Box:
        """Return the box of a face."""
        x, y, width, height = self.boxes_N4[row].tolist()
        return Box.model_construct(_BOX_FIELDS, x=x, y=y, width=width, height=height)

    def boxes_by_frame(self) -> list[list[Box]]:
        """Return the boxes of each frame."""
        return [[self.box(row) for row in self.rows(frame)] for frame in range(len(self.times_F))]

    def subsample(self, rate: float, every: int, max_faces: int, *, landmarks: bool) -> "FaceObservations":
        """Return the observations of every n-th frame of the grid, with the `max_faces` largest faces of each.

        `rate`: frames per second of these observations; `landmarks`: whether to keep them.
        """
        frames = np.flatnonzero(np.round(self.times_F * rate).astype(np.int64) % every == 0)
        rows_by_frame = [
            [row for row in self.rows(frame) if self.ranks_N[row] < max_faces] for frame in frames.tolist()
        ]
        rows = np.array([row for of_frame in rows_by_frame for row in of_frame], np.int64)
        counts = np.array([len(of_frame) for of_frame in rows_by_frame], np.int64)
        return FaceObservations(
            times_F=self.times_F[frames],
            starts_G=np.concatenate([[0], np.cumsum(counts)]),
            boxes_N4=self.boxes_N4[rows],
            scores_N=self.scores_N[rows],
            ranks_N=self.ranks_N[rows],
            embeddings_NE=self.embeddings_NE[rows],
            log_probabilities_NC=self.log_probabilities_NC[rows],
            landmarks_NP3=self.landmarks_NP3[rows] if landmarks and self.landmarks_NP3 is not None else None,
            qualities_NQ=None if self.qualities_NQ is None else self.qualities_NQ[rows],
            missed_F=None if self.missed_F is None else self.missed_F[frames],
            movements_NV=None if self.movements_NV is None else self.movements_NV[rows],
            signatures_FS=None if self.signatures_FS is None else self.signatures_FS[frames],
            is_identified_N=None if self.is_identified_N is None else self.is_identified_N[rows],
            identities_IE=self._identities_of(rows),
        )

    def _identities_of(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        if self.is_identified_N is None or self.identities_IE is None:
            return None
        places = np.cumsum(self.is_identified_N) - 1
        return self.identities_IE[places[rows[self.is_identified_N[rows]]]]


@dataclass(frozen=True)
class PendingFrame:
    """Frame that waits to be searched. `scale`: original pixels per pixel of the image."""

    time: float
    image_HWC: NDArray[np.uint8]
    scale: float


@dataclass(frozen=True)
class DetectedFrame:
    """Faces of the frame at `time`.

    `scale`: original pixels per pixel of the image; `missed`: number of small detections that no mesh confirmed;
    `signature`: null without shots; `identify`: whether its faces get an identity.
    """

    time: float
    scale: float
    faces: list[DetectedFace]
    missed: int = 0
    signature: Signature | None = None
    identify: bool = False


@dataclass
class _IdentityGrid:
    """Chooses the frames whose faces get an identity: each first of a second, of a shot, and with one face more.

    What it chooses depends on the frames since the last `restart` alone.
    """

    time: float | None = None
    signature: Signature | None = None
    faces: int = 0

    def restart(self) -> None:
        """Forget the frames so far."""
        self.time = None

    def chooses(self, time: float, signature_S: Signature, faces: int) -> bool:
        """Return whether the next frame is chosen."""
        is_chosen = (
            self.time is None
            or self.signature is None
            or int(time) > int(self.time)
            or faces > self.faces
            or begins_shot(self.signature, signature_S)
        )
        self.time, self.signature, self.faces = time, signature_S, faces
        return is_chosen


@dataclass
class FaceCollector:
    """Collects the faces of a stream of frames.

    Frames are searched in batches of the detector's size, and crops go through the network in batches of its size.
    `executor`: one thread that reads crops while the next frames are searched; null reads them in the calling thread.
    `kind`: how frames are searched; `search`: search of a stream whose earlier frames went to other collectors;
    `movements`: model of the movements, null to leave them out; `identity`: model of the identity, likewise.
    """

    detector: FaceDetector
    predictor: BatchPredictor[FaceSample]
    max_faces: int
    keep_landmarks: bool
    executor: Executor | None = None
    kind: SearchKind = "film"
    search: FrameSearch | None = None
    movements: MovementPredictor | None = None
    identity: IdentityReader | None = None
    _unsearched: list[PendingFrame] = field(default_factory=list)
    _unread: list[DetectedFrame] = field(default_factory=list)
    _unread_faces: int = 0
    _parts: list[Callable[[], FaceObservations]] = field(default_factory=list)
    _grid: _IdentityGrid = field(default_factory=_IdentityGrid)

    def __post_init__(self) -> None:
        self._search = self.search or FrameSearch(self.detector, self.max_faces, self.kind)

    def add(self, time: float, image_HWC: NDArray[np.uint8], scale: float) -> None:
        """Add a frame. Its image is kept until it is searched. `scale`: original pixels per pixel of the image."""
        self._unsearched.append(PendingFrame(time, image_HWC, scale))
        if len(self._unsearched) >= self._search.batch_size:
            self._search_pending()
        if self._unread_faces >= self.predictor.batch_size:
            self.flush()

    def end_chunk(self) -> None:
        """Read the frames that wait, and search the following ones as if they were the first."""
        self.flush()
        self._search.restart()
        self._grid.restart()

    def _search_pending(self) -> None:
        frames, self._unsearched = self._unsearched, []
        results = self._search.find([frame.image_HWC for frame in frames], [frame.time for frame in frames])
        self._unread += [self._detected(frame, result) for frame, result in zip(frames, results, strict=True)]
        self._unread_faces += sum(len(result.faces) for result in results)

    def _detected(self, frame: PendingFrame, result: SearchResult) -> DetectedFrame:
        missed = _small_boxes(result.missed, frame.scale)
        if self.kind != "film":
            return DetectedFrame(frame.time, frame.scale, result.faces, missed)
        signature_S = signature(frame.image_HWC)
        is_chosen = self._grid.chooses(frame.time, signature_S, len(result.faces))
        return DetectedFrame(frame.time, frame.scale, result.faces, missed, signature_S, is_chosen)

    def flush(self) -> None:
        """Read the frames that wait. The place of this call decides which crops form a batch, and so last digits."""
        if self._unsearched:
            self._search_pending()
        frames, self._unread, self._unread_faces = self._unread, [], 0
        if not frames:
            return
        if self.executor is None:
            part = self._read(frames)
            self._parts.append(lambda: part)
            return
        if len(self._parts) >= MAX_PENDING_BATCHES:
            self._parts[-MAX_PENDING_BATCHES]()
        self._parts.append(self.executor.submit(self._read, frames).result)

    def result(self) -> FaceObservations:
        """Return the observations of all frames that were added."""
        self.flush()
        empty = FaceObservations.empty(
            self.predictor.embedding_size,
            landmarks=self.keep_landmarks,
            movements=self.movements is not None,
            signatures=self.kind == "film",
            identities=self.identity is not None,
        )
        return FaceObservations.concatenated([empty, *(part() for part in self._parts)])

    def _read(self, frames: Sequence[DetectedFrame]) -> FaceObservations:
        faces = [(face, frame.scale) for frame in frames for face in frame.faces]
        samples = [FaceSample(face.crop, face.landmarks) for face, _ in faces]
        outputs = self.predictor.predict(samples)
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
            landmarks_NP3=_landmarks_in_frame(faces) if self.keep_landmarks else None,
            qualities_NQ=_qualities(faces),
            missed_F=np.array([min(frame.missed, 255) for frame in frames], np.uint8),
            movements_NV=self.movements.read(samples) if self.movements else None,
            signatures_FS=_signatures(frames),
            **self._identities(frames, samples),
        )

    def _identities(self, frames: Sequence[DetectedFrame], samples: Sequence[FaceSample]) -> dict[str, NDArray[Any]]:
        """Return the fields of the observations that distinguish people."""
        if self.identity is None:
            return {}
        is_identified = np.array([frame.identify for frame in frames for _ in frame.faces], np.bool_)
        chosen = [sample for sample, is_chosen in zip(samples, is_identified, strict=True) if is_chosen]
        return {
            "is_identified_N": is_identified,
            "identities_IE": self.identity.embed(chosen),
        }


def _small_boxes(boxes: Sequence[Rectangle], scale: float) -> int:
    return sum(max(box[2:]) * scale < MAX_MISSED_SIDE for box in boxes)


def _signatures(frames: Sequence[DetectedFrame]) -> NDArray[np.uint8] | None:
    rows = [frame.signature for frame in frames if frame.signature is not None]
    return np.stack(rows) if rows else None


def _qualities(faces: Sequence[tuple[DetectedFace, float]]) -> NDArray[np.float32]:
    """Return the qualities of the faces [N, Q], in pixels of the original frame."""
    rows = [face_quality(face.crop, face.box, face.score, face.landmarks, scale) for face, scale in faces]
    return np.stack(rows) if rows else np.zeros((0, len(QUALITIES)), np.float32)


def _landmarks_in_frame(faces: Sequence[tuple[DetectedFace, float]]) -> NDArray[np.float32]:
    """Return the meshes in pixels of the original frame [N, 468, 3], NaN for a face without one."""
    landmarks_NP3 = np.full((len(faces), LANDMARKS, 3), np.nan, np.float32)
    for row, (face, scale) in enumerate(faces):
        if face.landmarks is not None:
            landmarks_NP3[row] = face.landmarks * np.float32(scale)
    return landmarks_NP3

"""Face detection in single images: boxes, meshes, and the crops that the face network reads."""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.cpu import cpu_count
from ml.inference.face.backends.base import FaceBackend, Image, mediapipe_graphs
from ml.inference.face.boxes import (
    FoundBox,
    Rectangle,
    bounding_box,
    distinct_boxes,
    iou,
    is_same_face,
    overlaps_any,
    size_order,
    square_around,
)
from ml.inference.face.close_ups import CloseUp, best_turns
from ml.inference.face.tiles import MAX_LEVELS, Tile, tiles, whole_picture
from ml.inference.face.turns import TURNS, turn_image, unturn_box
from ml.networks.crops import align_crop, box_crop

MIN_UNCONFIRMED_SCORE = 0.8
"""Minimum score of a face that the mesh does not confirm: small faces and profiles."""
MIN_SURE_MESH_SCORE, MIN_DOUBTFUL_MESH_SCORE = 0.5, 0.65
"""Minimum score in the close-up for which the mesh confirms a box: one of a sure detection that is upright, and any
other. Of 227 faces, 24 pixels wide and more, one in a hundred had less; of what is no face, one in ten had more."""
MIN_DOUBTFUL_IOU = 0.2
"""Minimum intersection over union of the mesh with a box that is not sure."""
MIN_FOLLOWED_SCORE = 0.5
"""Minimum score in the close-up of a face that was found in the frame before alone."""
MIN_BOX_SIDE = 8
"""Minimum side of a box, in pixels."""
MIN_BOX_IOU = 0.55
"""Minimum intersection over union of a box with its mesh. Below it the box was found at the edge of a tile, around two
faces, or by a detector that sees the face too small to frame it: the box is replaced by one around the mesh."""
SAME_BOX_IOU = 0.5
"""Intersection over union from which a box is taken for one that was looked at before."""
MAX_CANDIDATES = 64
"""Maximum number of boxes of an image that are looked at closely."""
SMALL_PICTURE_SIDE = 640
"""Pixels of the longer side up to which a photo that shows one large face is not searched in tiles."""
LARGE_FACE_SHARE = 0.15
"""Share of the longer side from which the one face of a small photo counts as large."""


@dataclass(frozen=True)
class DetectedFace:
    """Face of an image, in pixels of that image.

    `landmarks`: mesh [468, 3]; `crop`: grey square as the face network takes it; `rank`: place by size among the faces
    of the image, largest first; `turn`: counter-clockwise quarter turns of the image after which the face is upright.
    """

    box: Rectangle
    score: float
    landmarks: NDArray[np.float32] | None
    crop: NDArray[np.uint8]
    rank: int = 0
    turn: int = 0

    @property
    def extent(self) -> Rectangle:
        """Box around the mesh; without one, the box of the detector."""
        return self.box if self.landmarks is None else bounding_box(self.landmarks)

    def shows(self, box: Rectangle) -> bool:
        """Return whether a box is around this face."""
        return overlaps_any(box, (self.box, self.extent))


@dataclass(frozen=True)
class SearchResult:
    """Faces of an image, largest first.

    `missed`: boxes of sure detections that no mesh confirmed; `added`: number of faces that the image as a whole does
    not show.
    """

    faces: list[DetectedFace]
    missed: tuple[Rectangle, ...] = ()
    added: int = 0


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
        """Return the faces of an RGB image, largest first, at most `max_faces`, as `search` finds them in a photo."""
        return self.search(image_HWC, max_faces).faces

    def detect_batch(self, images: Sequence[Image], max_faces: int, turn: int = 0) -> list[list[DetectedFace]]:
        """Return the faces that each RGB image shows as a whole, largest first, at most `max_faces` per image.

        This is the cheap search: small faces are not found. `turn`: quarter turns after which faces are upright.
        """
        found = self._find(images, [whole_picture(image_HWC) for image_HWC in images], turn)
        sure = [distinct_boxes([each for each in of_image if each.is_sure], MIN_BOX_SIDE) for of_image in found]
        faces: list[list[DetectedFace]] = [[] for _ in images]
        while rows := [row for row, boxes in enumerate(sure) if boxes and len(faces[row]) < max_faces]:
            taken = [(row, each) for row in rows for each in sure[row][: max_faces - len(faces[row])]]
            for row in rows:
                sure[row] = sure[row][max_faces - len(faces[row]) :]
            confirmed = self._confirm([(images[row], each) for row, each in taken], turn)
            for (row, _), face in zip(taken, confirmed, strict=True):
                faces[row] += [face] if face else []
            for row in rows:
                faces[row] = _distinct_faces(faces[row])
        return faces

    def search(self, image_HWC: Image, max_faces: int, levels: int | None = None) -> SearchResult:
        """Search an RGB image thoroughly: as a whole, in tiles, and for faces that are not upright.

        `levels`: of tiles; null decides as for a photo.
        """
        return _ThoroughSearch(self, image_HWC, max_faces, levels).run()

    def follow(self, image_HWC: Image, known: Sequence[DetectedFace]) -> list[DetectedFace | None]:
        """Return where the faces of an earlier frame are in this one, null for one that is not near its place."""
        close_ups = [CloseUp.around(image_HWC, face.box, face.turn) for face in known]
        readings = self._backend.landmarks([close_up.image for close_up in close_ups]) if known else []
        faces: list[DetectedFace | None] = []
        for face, close_up, reading in zip(known, close_ups, readings, strict=True):
            if reading is None or reading.mesh is None or reading.score < MIN_FOLLOWED_SCORE:
                faces.append(None)
                continue
            landmarks = close_up.to_image(reading.mesh)
            box = _moved(face.box, face.extent, bounding_box(landmarks))
            crop = align_crop(image_HWC, landmarks, self._crop_size)
            faces.append(replace(face, box=box, score=reading.score, landmarks=landmarks, crop=crop))
        return faces

    def _find(self, images: Sequence[Image], parts: Sequence[Tile], turn: int = 0) -> list[list[FoundBox]]:
        """Return the answers about a part of each image, in pixels of the image."""
        found = self._backend.detect(
            [turn_image(part.cut(image), turn) for image, part in zip(images, parts, strict=True)]
        )
        return [
            [replace(each, box=part.to_image(unturn_box(each.box, turn))) for each in of_part]
            for part, of_part in zip(parts, found, strict=True)
        ]

    def _confirm(
        self, found: Sequence[tuple[Image, FoundBox]], turn: int = 0, *, tries_turns: bool = False
    ) -> list[DetectedFace | None]:
        """Return the face in each box, null if neither a mesh nor the score confirms it.

        `tries_turns`: look for faces that are not upright too.
        """
        close_ups = [CloseUp.around(image_HWC, each.box, turn) for image_HWC, each in found]
        readings = self._backend.landmarks([close_up.image for close_up in close_ups])
        if tries_turns:
            close_ups, readings = best_turns(self._backend, close_ups, readings)
        faces: list[DetectedFace | None] = []
        for (image_HWC, each), close_up, reading in zip(found, close_ups, readings, strict=True):
            if reading is None or reading.mesh is None:
                faces.append(self._unconfirmed(image_HWC, each))
                continue
            landmarks = close_up.to_image(reading.mesh)
            extent = bounding_box(landmarks)
            is_as_found = each.is_sure and close_up.turn == turn
            if not _is_confirmed(each, reading.score, extent, is_as_found=is_as_found):
                faces.append(None)
                continue
            box = each.box if iou(each.box, extent) >= MIN_BOX_IOU else square_around(extent)
            score = each.score if is_as_found else max(each.score, reading.score)
            crop = align_crop(image_HWC, landmarks, self._crop_size)
            faces.append(DetectedFace(box, score, landmarks, crop, turn=close_up.turn))
        return faces

    def _unconfirmed(self, image_HWC: Image, found: FoundBox) -> DetectedFace | None:
        if found.score < MIN_UNCONFIRMED_SCORE:
            return None
        return DetectedFace(found.box, found.score, None, box_crop(image_HWC, found.box, self._crop_size))


class _ThoroughSearch:
    """One thorough search of one image."""

    def __init__(self, detector: FaceDetector, image_HWC: Image, max_faces: int, levels: int | None) -> None:
        self._detector, self._image_HWC = detector, image_HWC
        self._max_faces, self._levels = max_faces, levels
        self._faces: list[DetectedFace] = []
        self._refused: list[FoundBox] = []

    def run(self) -> SearchResult:
        self._add(self._find([whole_picture(self._image_HWC)]))
        whole = len(self._faces)
        if parts := self._tiles():
            self._add(self._find(parts))
        for turn in TURNS[1:] if not self._faces else ():
            self._add(self._find([whole_picture(self._image_HWC)], turn), turn)
        missed = tuple(
            each.box for each in self._refused if each.is_sure and not any(face.shows(each.box) for face in self._faces)
        )
        return SearchResult(self._faces, missed, max(len(self._faces) - whole, 0))

    def _find(self, parts: Sequence[Tile], turn: int = 0) -> list[FoundBox]:
        found = self._detector._find([self._image_HWC] * len(parts), parts, turn)
        return [each for of_part in found for each in of_part]

    def _tiles(self) -> list[Tile]:
        height, width = self._image_HWC.shape[:2]
        if len(self._faces) >= self._max_faces:
            return []
        levels = self._levels
        if levels is None:
            levels = 0 if self._is_small_portrait(max(width, height)) else MAX_LEVELS
        return [tile for tile in tiles(width, height, levels) if tile.has_detail(self._image_HWC)]

    def _is_small_portrait(self, side: int) -> bool:
        if side > SMALL_PICTURE_SIDE or len(self._faces) != 1 or self._refused:
            return False
        return max(self._faces[0].box[2:]) >= LARGE_FACE_SHARE * side

    def _add(self, found: Sequence[FoundBox], turn: int = 0) -> None:
        """Look closely at boxes that show none of the faces so far, until there are enough faces."""
        boxes = distinct_boxes(self._new(found), MIN_BOX_SIDE)
        boxes = sorted(boxes, key=lambda each: (not each.is_sure, size_order(each.box)))[:MAX_CANDIDATES]
        while boxes and len(self._faces) < self._max_faces:
            count = self._max_faces - len(self._faces)
            taken, boxes = boxes[:count], boxes[count:]
            pairs = [(self._image_HWC, each) for each in taken]
            confirmed = self._detector._confirm(pairs, turn, tries_turns=turn == 0)
            self._refused += [each for each, face in zip(taken, confirmed, strict=True) if face is None]
            self._faces = _distinct_faces([*self._faces, *(face for face in confirmed if face)])

    def _new(self, found: Iterable[FoundBox]) -> list[FoundBox]:
        """Return the boxes that show neither a face that was found nor one that was refused."""
        refused = [each.box for each in self._refused]
        return [
            each
            for each in found
            if not any(face.shows(each.box) for face in self._faces)
            and all(iou(each.box, box) < SAME_BOX_IOU for box in refused)
        ]


def ranked(faces: Iterable[DetectedFace], max_faces: int) -> list[DetectedFace]:
    """Return the `max_faces` largest faces with their ranks, the largest first."""
    ordered = sorted(faces, key=lambda face: size_order(face.box))[:max_faces]
    return [replace(face, rank=rank) for rank, face in enumerate(ordered)]


def _is_confirmed(found: FoundBox, score: float, extent: Rectangle, *, is_as_found: bool) -> bool:
    """Return whether a mesh confirms a box. `score`: in the close-up; `extent`: of the mesh."""
    if is_as_found:
        return score >= MIN_SURE_MESH_SCORE or found.score >= MIN_UNCONFIRMED_SCORE
    return score >= MIN_DOUBTFUL_MESH_SCORE and iou(found.box, extent) >= MIN_DOUBTFUL_IOU


def _distinct_faces(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """Return each person once, as the detection with the highest score, the largest first."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        if not any(is_same_face(face.extent, other.extent) for other in kept):
            kept.append(face)
    return ranked(kept, len(kept))


def _moved(box: Rectangle, extent: Rectangle, moved: Rectangle) -> Rectangle:
    """Return a box after the way, and with the growth, that took its mesh from one extent to another."""
    growth = ((moved[2] * moved[3]) / max(extent[2] * extent[3], 1e-9)) ** 0.5
    centres = zip(extent[:2], extent[2:], moved[:2], moved[2:], box[:2], box[2:], strict=True)
    x, y = (
        new + new_side / 2 + (corner + side / 2 - old - old_side / 2) * growth - side * growth / 2
        for old, old_side, new, new_side, corner, side in centres
    )
    return x, y, box[2] * growth, box[3] * growth


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

"""Search of one frame after the other, of a photo, a film or a live stream.

A thorough search of each frame would take longer than decoding the film. So each frame is searched as a whole, a
thorough search runs now and then and after a cut, and small faces that it found are followed from frame to frame.
What a frame gives depends on the frames since the last `restart` alone, never on how frames are batched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.inference.face.backends.base import Image
from ml.inference.face.detector import DetectedFace, FaceDetector, SearchResult, ranked
from ml.inference.face.tiles import MAX_LEVELS

SearchKind = Literal["photo", "film", "live"]
"""How frames are searched: a photo thoroughly, a film now and then, a live stream never."""

THOROUGH_SECONDS = 4.0
"""Seconds of a film from one thorough search to the next: the grid is absolute."""
MAX_WAIT = 4
"""Maximum steps of that grid to the next thorough search: each search that adds nothing doubles the wait."""
DEEP_EVERY = 5
"""Thorough searches from one with all levels of tiles to the next; the others have the first level."""
MIN_CUT_SECONDS = 1.0
"""Minimum seconds from a thorough search to that after a cut."""
CUT_DIFFERENCE = 25.0
"""Mean difference of grey values (0 to 255) between two frames from which the later one begins a new shot."""
MAX_LOST_SECONDS = 1.0
"""Seconds for which a face that is no longer found is looked for at its last place."""
_THUMBNAIL = (32, 18)


@dataclass(frozen=True)
class _Frame:
    """Frame to search. `begins_shot`: whether it differs from the frame before as after a cut."""

    image_HWC: Image
    time: float
    begins_shot: bool


@dataclass(frozen=True)
class _Known:
    """Face that was last seen at `time`."""

    face: DetectedFace
    time: float


class FrameSearch:
    """Searches the frames of one recording or stream, in order."""

    def __init__(self, detector: FaceDetector, max_faces: int, kind: SearchKind = "film") -> None:
        """`max_faces`: maximum number of faces of a frame; the largest are kept."""
        self._detector, self._max_faces, self._kind = detector, max_faces, kind
        self.restart()

    @property
    def batch_size(self) -> int:
        """Number of frames that are searched together at best."""
        return self._detector.batch_size

    def restart(self) -> None:
        """Forget the frames so far."""
        self._known: list[_Known] = []
        self._turn = 0
        self._thumbnail: NDArray[np.int16] | None = None
        self._last_thorough: float | None = None
        self._cut_waits = False
        self._wait = 1

    def find(self, images: Sequence[Image], times: Sequence[float]) -> list[SearchResult]:
        """Return the faces of the next frames. `times`: seconds, ascending."""
        results: list[SearchResult] = []
        pending: list[_Frame] = []
        for image_HWC, time in zip(images, times, strict=True):
            frame = _Frame(image_HWC, time, self._kind != "photo" and self._begins_shot(image_HWC))
            if not self._is_thorough(frame):
                pending.append(frame)
                continue
            results += self._find_whole(pending)
            pending = []
            results.append(self._find_thoroughly(frame))
        return results + self._find_whole(pending)

    def _begins_shot(self, image_HWC: Image) -> bool:
        small = cv2.resize(image_HWC, _THUMBNAIL, interpolation=cv2.INTER_LINEAR).astype(np.int16)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) >= CUT_DIFFERENCE

    def _is_thorough(self, frame: _Frame) -> bool:
        """Return whether a thorough search is due at a frame."""
        if self._kind != "film":
            return self._kind == "photo"
        last = self._last_thorough
        self._cut_waits = self._cut_waits or frame.begins_shot
        is_due = last is None or _grid_number(frame.time) >= _grid_number(last) + self._wait
        return is_due or (self._cut_waits and frame.time - (last or 0.0) >= MIN_CUT_SECONDS)

    def _find_thoroughly(self, frame: _Frame) -> SearchResult:
        levels = None
        if self._kind == "film":
            last, number = self._last_thorough, _grid_number(frame.time)
            is_deep = last is None or number // DEEP_EVERY > _grid_number(last) // DEEP_EVERY
            levels = MAX_LEVELS if is_deep else 1
            self._last_thorough, self._cut_waits = frame.time, False
        found = self._detector.search(frame.image_HWC, self._max_faces, levels)
        is_fruitless = not (found.added or found.missed or frame.begins_shot)
        self._wait = min(2 * self._wait, MAX_WAIT) if is_fruitless else 1
        turns = {face.turn for face in found.faces}
        self._turn = turns.pop() if len(turns) == 1 else 0
        return replace(found, faces=self._with_followed(frame, found.faces))

    def _find_whole(self, frames: Sequence[_Frame]) -> list[SearchResult]:
        if not frames:
            return []
        images = [frame.image_HWC for frame in frames]
        faces_by_frame = self._detector.detect_batch(images, self._max_faces, self._turn)
        return [
            SearchResult(self._with_followed(frame, faces)) for frame, faces in zip(frames, faces_by_frame, strict=True)
        ]

    def _with_followed(self, frame: _Frame, found: list[DetectedFace]) -> list[DetectedFace]:
        """Return the faces that were found in a frame, and those that it does not show as a whole but that are known
        from the frames before."""
        if frame.begins_shot:
            self._known = []
        lost = [
            known
            for known in self._known
            if frame.time - known.time <= MAX_LOST_SECONDS and not any(face.shows(known.face.extent) for face in found)
        ]
        faces, still_lost = list(found), []
        if len(found) < self._max_faces:
            followed = self._detector.follow(frame.image_HWC, [known.face for known in lost])
            for known, face in zip(lost, followed, strict=True):
                if face is None:
                    still_lost.append(known)
                elif not any(other.shows(face.extent) for other in faces):
                    faces.append(face)
            faces = ranked(faces, self._max_faces)
        self._known = [*(_Known(face, frame.time) for face in faces if face.landmarks is not None), *still_lost]
        return faces


def _grid_number(time: float) -> int:
    return int(time // THOROUGH_SECONDS)

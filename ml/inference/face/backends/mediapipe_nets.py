"""mediapipe's nets of faces without its graphs: in batches, on any device, to the same answers.

What lies before and behind the nets follows its graphs `face_detection_{full,short}_range_cpu` and
`face_landmark_front_cpu` (release 0.10): letterboxes, anchors, weighted suppression, the turned square of a face.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import mediapipe
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.inference.face.backends.base import MIN_CLOSE_UP_SCORE, MIN_DETECTION_SCORE, Image, Mesh, Rectangle, iou
from ml.inference.runtime.device import to_device
from ml.networks.crops import LANDMARKS
from ml.networks.tflite import TfliteNet

Floats = NDArray[np.float32]

FRAMES = 16
"""Images that are searched together: their pixels wait in memory."""
FAR_LEAST_SCORE = 0.6
"""As the far detector's graph has it."""
SAME_FACE = 0.3
"""Answers that overlap by more (intersection over union) are one face."""
CLIPPED = 100.0
ROOM = 1.5
"""Side of the square that the mesh is laid in, in sides of the face's box."""
LEAST_PRESENCE = 0.5
"""Below it the mesh lies on no face."""
RIGHT_EYE, LEFT_EYE = 0, 1
PARTS = 32
"""Of a pixel: where the graphs look for a value between pixels."""
_MODULES = Path(mediapipe.__file__).parent / "modules"


@dataclass(frozen=True)
class Sighted:
    """In shares of the image's sides. `points_62`: eyes, nose, mouth, ears."""

    box: Rectangle
    points_62: Floats
    score: float


class BoxNet:
    """Images → faces. `strides`: pixels of the net's input for one step of the grid of anchors, for each of them."""

    def __init__(self, name: str, strides: Sequence[int], device: torch.device) -> None:
        self._net = TfliteNet(_MODULES / "face_detection" / f"face_detection_{name}.tflite").eval().to(device)
        self._device = device
        self._anchors_A2 = _anchors(self._net.size, strides)

    @torch.inference_mode()
    def find(self, images: Sequence[Image], least_score: float) -> list[list[Sighted]]:
        """The faces of each RGB image, the surest first."""
        size = self._net.size
        boxed = np.stack([_letterboxed(image_HWC, size) for image_HWC in images])
        answers_NA16, scores_NA1 = self._net(_given(boxed, self._device) * 2 - 1)
        sure_NA = scores_NA1[..., 0].float().clamp(-CLIPPED, CLIPPED).sigmoid().cpu().numpy()
        rows = zip(images, answers_NA16.float().cpu().numpy(), sure_NA, strict=True)
        return [self._faces(image_HWC, answers_A16, sure_A, least_score) for image_HWC, answers_A16, sure_A in rows]

    def _faces(self, image_HWC: Image, answers_A16: Floats, sure_A: Floats, least_score: float) -> list[Sighted]:
        """Of an image. An answer tells, in pixels of the net's input, where the face's middle lies, how wide and high
        it is, and where six points lie; places from the anchor on."""
        kept = sure_A >= least_score
        anchors_K12 = self._anchors_A2[kept, None]
        pairs_K82 = answers_A16[kept].reshape(-1, 8, 2) / np.float32(self._net.size)
        middles, sides, points = pairs_K82[:, :1] + anchors_K12, pairs_K82[:, 1:2], pairs_K82[:, 2:] + anchors_K12
        places_K82 = np.concatenate([middles - sides / 2, middles + sides / 2, points], axis=1)
        return _suppressed(_unboxed(places_K82, image_HWC), sure_A[kept])


class MeshNet:
    """Turned squares of images → meshes."""

    def __init__(self, device: torch.device) -> None:
        self._net = TfliteNet(_MODULES / "face_landmark" / "face_landmark.tflite").eval().to(device)
        self._device = device

    @torch.inference_mode()
    def lay(self, images: Sequence[Image], faces: Sequence[Sighted]) -> list[Mesh | None]:
        """The mesh over a face of each RGB image, in shares of its sides ([468, 3]); null where there is none."""
        if not images:
            return []
        size = self._net.size
        squares = [_Square.around(image_HWC, face) for image_HWC, face in zip(images, faces, strict=True)]
        cut = [square.cut(image_HWC, size) for square, image_HWC in zip(squares, images, strict=True)]
        points, presence = self._net(_given(np.stack(cut), self._device))
        points_NP3 = points.float().cpu().numpy().reshape(-1, LANDMARKS, 3) / np.float32(size)
        present_N = (presence.float().flatten().sigmoid() >= LEAST_PRESENCE).tolist()
        rows = zip(squares, images, points_NP3, present_N, strict=True)
        return [square.placed(points_P3, image) if present else None for square, image, points_P3, present in rows]


class MediapipeNets:
    """Searches images as mediapipe's graphs do, many at once. Without memory: any thread may ask."""

    at_once = FRAMES

    def __init__(self, device: torch.device) -> None:
        torch.backends.cudnn.allow_tf32 = False  # the far net hangs on digits that it drops; all other nets run in half
        self._far = BoxNet("full_range_sparse", [4], device)
        self._near = BoxNet("short_range", [8, 8, 16, 16, 16, 16, 16, 16], device)
        self._mesh = MeshNet(device)

    def boxes(self, images: Sequence[Image]) -> list[list[tuple[Rectangle, float]]]:
        both = zip(self._far.find(images, FAR_LEAST_SCORE), self._near.find(images, MIN_DETECTION_SCORE), strict=True)
        return [[(face.box, face.score) for face in (*far, *near)] for far, near in both]

    def meshes(self, close_ups: Sequence[Image]) -> list[Mesh | None]:
        laid: list[Mesh | None] = [None] * len(close_ups)
        for first in range(0, len(close_ups), FRAMES):
            part = close_ups[first : first + FRAMES]
            sure = {row: faces[0] for row, faces in enumerate(self._near.find(part, MIN_CLOSE_UP_SCORE)) if faces}
            meshes = self._mesh.lay([part[row] for row in sure], list(sure.values()))
            for row, mesh in zip(sure, meshes, strict=True):
                laid[first + row] = mesh
        return laid

    def close(self) -> None:
        """Nothing is held but the nets."""


@dataclass(frozen=True)
class _Square:
    """Pixels; `angle` in radians, clockwise as seen."""

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def around(cls, image_HWC: Image, face: Sighted) -> "_Square":
        """With the eyes level."""
        sides = np.array(image_HWC.shape[1::-1], np.float32)
        across = (face.points_62[LEFT_EYE] - face.points_62[RIGHT_EYE]) * sides
        left, top, width, height = np.array(face.box) * np.tile(sides, 2)
        centre = (float(left + width / 2), float(top + height / 2))
        return cls(centre, float(max(width, height)) * ROOM, float(np.arctan2(across[1], across[0])))

    def cut(self, image_HWC: Image, size: int) -> Image:
        """[size, size, 3]; beyond the edge, the edge."""
        return _turned_square(self.centre, self.side, self.angle, image_HWC, size, cv2.BORDER_REPLICATE)

    def placed(self, points_P3: Floats, image_HWC: Image) -> Floats:
        """Points in shares of the square → in shares of the image's sides, depth in those of its width."""
        height, width = image_HWC.shape[:2]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        flat = (points_P3[:, :2] - 0.5) @ turn * self.side + self.centre
        return np.column_stack([flat / (width, height), points_P3[:, 2] * self.side / width]).astype(np.float32)


def _anchors(size: int, strides: Sequence[int]) -> Floats:
    """Their centres in shares of the input [A, 2]. Grids of one stride stand together, step by step."""
    grids = []
    for stride in dict.fromkeys(strides):
        steps = size // stride
        y, x = np.mgrid[:steps, :steps]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / steps
        grids.append(np.repeat(centres, list(strides).count(stride), axis=0))
    return np.concatenate(grids).astype(np.float32)


def _given(images_NHWC: Image, device: torch.device) -> Tensor:
    """Values 0..1 [N, 3, H, W] on the device."""
    return to_device(torch.from_numpy(images_NHWC), device).permute(0, 3, 1, 2).float() / 255


def _letterboxed(image_HWC: Image, size: int) -> Image:
    """The whole image in the middle of a black square of `size` pixels."""
    height, width = image_HWC.shape[:2]
    return _turned_square((width / 2, height / 2), max(height, width), 0.0, image_HWC, size, cv2.BORDER_CONSTANT)


def _turned_square(
    centre: tuple[float, float], side: float, angle: float, image_HWC: Image, size: int, border: int
) -> Image:
    """[size, size, 3]. Where its pixels lie is rounded as the graphs' release of OpenCV does (4.10): the far detector
    answers otherwise to values that differ by one."""
    corners = np.asarray(cv2.boxPoints((centre, (side, side), np.degrees(angle))), np.float32)
    into = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
    _, back = cv2.invert(cv2.getPerspectiveTransform(corners, into))
    placed_3HW = np.tensordot(back, _grid(size), 1)
    x, y = (np.rint(placed_3HW[:2] * (PARTS / placed_3HW[2])) / PARTS).astype(np.float32)
    whole, parts = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return np.asarray(cv2.remap(image_HWC, whole, parts, cv2.INTER_LINEAR, borderMode=border), np.uint8)


@cache
def _grid(size: int) -> NDArray[np.float64]:
    """x, y and 1 of the pixels of a square [3, size, size]."""
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y, np.ones_like(x)]).astype(np.float64)


def _unboxed(places_K82: Floats, image_HWC: Image) -> Floats:
    """Points in shares of the letterbox → in shares of the image's sides."""
    sides = np.array(image_HWC.shape[1::-1], np.float32)
    return ((places_K82 - 0.5) * (sides.max() / sides) + 0.5).astype(np.float32)


def _suppressed(places_K82: Floats, scores_K: Floats) -> list[Sighted]:
    """Answers that overlap become one: their mean, weighted by scores. The first two points are corners."""
    boxes = [_rectangle(place_82[:2]) for place_82 in places_K82]
    waiting, found = np.argsort(-scores_K, kind="stable").tolist(), []
    while waiting:
        surest = waiting[0]
        own = [row for row in waiting if row == surest or iou(boxes[surest], boxes[row]) > SAME_FACE]
        mean_82 = np.average(places_K82[own], axis=0, weights=scores_K[own]).astype(np.float32)
        found.append(Sighted(_rectangle(mean_82[:2]), mean_82[2:], float(scores_K[surest])))
        waiting = [row for row in waiting if row not in own]
    return found


def _rectangle(corners_22: Floats) -> Rectangle:
    (left, top), (right, bottom) = corners_22.tolist()
    return left, top, right - left, bottom - top

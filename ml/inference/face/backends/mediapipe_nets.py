"""mediapipe's face networks without its graphs: in batches, on any device, with the same results.

Pre- and post-processing follow its graphs `face_detection_{full,short}_range_cpu` and `face_landmark_front_cpu`
(release 0.10): letterbox, anchors, weighted non-maximum suppression, rotated square crop of a face. mediapipe itself is
not imported; only its package must be installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.inference.api import FloatArray
from ml.inference.face.backends.base import (
    MIN_CANDIDATE_SCORE,
    MIN_CLOSE_UP_SCORE,
    MIN_FAR_SCORE,
    MIN_NEAR_SCORE,
    CloseUpReading,
    Image,
    Mesh,
)
from ml.inference.face.boxes import FoundBox, Rectangle, iou
from ml.inference.runtime.device import to_device
from ml.networks.crops import LANDMARKS
from ml.networks.tflite import TfliteNet, mediapipe_folder

IMAGE_BATCH_SIZE = 16
"""Images that are searched together; their pixels are held in memory."""
MAX_DETECTED_AT_ONCE = 64
"""Maximum number of images or tiles that the networks take at once."""
MERGED_IOU = 0.3
"""Intersection over union above which two answers are merged into one face."""
MAX_LOGIT = 100.0
"""Absolute value at which scores are clipped before the sigmoid."""
MESH_CROP_SCALE = 1.5
"""Side of the square from which the mesh is predicted, in sides of the face's box."""
MIN_PRESENCE = 0.5
"""Minimum probability that the square shows a face."""
RIGHT_EYE, LEFT_EYE = 0, 1
"""Rows of `Detection.points_62`."""
SUBPIXEL_STEPS = 32
"""Parts of a pixel to which the graphs round the place of a value between pixels."""


@dataclass(frozen=True)
class Detection:
    """Face of an image, in fractions of its width and height. `points_62`: eyes, nose, mouth, ears."""

    box: Rectangle
    points_62: FloatArray
    score: float

    def eye_line(self, image_HWC: Image) -> FloatArray:
        """Return the way from the right eye to the left one, in pixels [2]."""
        return (self.points_62[LEFT_EYE] - self.points_62[RIGHT_EYE]) * np.array(image_HWC.shape[1::-1], np.float32)

    def tilt(self, image_HWC: Image) -> float:
        """Return the degrees by which the line through the eyes leans, clockwise as seen."""
        across, down = self.eye_line(image_HWC).tolist()
        return float(np.degrees(np.arctan2(down, across)))


def _found(detections: Sequence[Detection], min_score: float) -> list[FoundBox]:
    return [FoundBox(face.box, face.score, face.score >= min_score) for face in detections]


class DetectorNet:
    """Network that detects the faces of images."""

    def __init__(self, name: str, strides: Sequence[int], device: torch.device) -> None:
        """`strides`: for each grid of anchors, the pixels of the network's input per step."""
        path = mediapipe_folder() / "modules" / "face_detection" / f"face_detection_{name}.tflite"
        self._net = TfliteNet(path).eval().to(device)
        self._device = device
        self._anchors_A2 = _anchors(self._net.size, strides)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image], min_score: float) -> list[list[Detection]]:
        """Return the faces of each RGB image, by descending score."""
        boxed = np.stack([_letterbox(image_HWC, self._net.size) for image_HWC in images])
        answers_NA16, logits_NA1 = self._net(_to_tensor(boxed, self._device) * 2 - 1)
        scores_NA = logits_NA1[..., 0].float().clamp(-MAX_LOGIT, MAX_LOGIT).sigmoid().cpu().numpy()
        rows = zip(images, answers_NA16.float().cpu().numpy(), scores_NA, strict=True)
        return [self._decode(image_HWC, answers_A16, scores_A, min_score) for image_HWC, answers_A16, scores_A in rows]

    def _decode(
        self, image_HWC: Image, answers_A16: FloatArray, scores_A: FloatArray, min_score: float
    ) -> list[Detection]:
        """Return the faces of one image.

        An answer holds, in pixels of the network's input, the centre of the face, its width and height, and six points;
        positions are relative to the anchor.
        """
        kept = scores_A >= min_score
        anchors_K12 = self._anchors_A2[kept, None]
        pairs_K82 = answers_A16[kept].reshape(-1, 8, 2) / np.float32(self._net.size)
        centres, sides, points = pairs_K82[:, :1] + anchors_K12, pairs_K82[:, 1:2], pairs_K82[:, 2:] + anchors_K12
        points_K82 = np.concatenate([centres - sides / 2, centres + sides / 2, points], axis=1)
        return _weighted_nms(_undo_letterbox(points_K82, image_HWC), scores_A[kept])


class MeshNet:
    """Network that predicts the mesh of a face from a square in which the eyes are level."""

    def __init__(self, device: torch.device) -> None:
        path = mediapipe_folder() / "modules" / "face_landmark" / "face_landmark.tflite"
        self._net = TfliteNet(path).eval().to(device)
        self._device = device

    @torch.inference_mode()
    def place_mesh(self, images: Sequence[Image], faces: Sequence[Detection]) -> list[Mesh | None]:
        """Return the mesh of one face per RGB image [468, 3], in fractions of its sides; null without a face."""
        if not images:
            return []
        size = self._net.size
        squares = [_Square.around(image_HWC, face) for image_HWC, face in zip(images, faces, strict=True)]
        crops = [square.crop(image_HWC, size) for square, image_HWC in zip(squares, images, strict=True)]
        points, presence = self._net(_to_tensor(np.stack(crops), self._device))
        points_NP3 = points.float().cpu().numpy().reshape(-1, LANDMARKS, 3) / np.float32(size)
        present_N = (presence.float().flatten().sigmoid() >= MIN_PRESENCE).tolist()
        rows = zip(squares, images, points_NP3, present_N, strict=True)
        return [square.to_image(points_P3, image) if present else None for square, image, points_P3, present in rows]


class MediapipeNets:
    """Backend that searches images in batches. It keeps no state between calls, so that threads may share it."""

    batch_size = IMAGE_BATCH_SIZE

    def __init__(self, device: torch.device) -> None:
        # The far network depends on digits that TF32 drops; all other networks run in half precision.
        torch.backends.cudnn.allow_tf32 = False
        self._far = DetectorNet("full_range_sparse", [4], device)
        self._near = DetectorNet("short_range", [8, 8, 16, 16, 16, 16, 16, 16], device)
        self._mesh = MeshNet(device)

    def detect(self, images: Sequence[Image]) -> list[list[FoundBox]]:
        found: list[list[FoundBox]] = []
        for first in range(0, len(images), MAX_DETECTED_AT_ONCE):
            batch = images[first : first + MAX_DETECTED_AT_ONCE]
            by_far, by_near = (net.detect(batch, MIN_CANDIDATE_SCORE) for net in (self._far, self._near))
            found += [
                [*_found(far, MIN_FAR_SCORE), *_found(near, MIN_NEAR_SCORE)]
                for far, near in zip(by_far, by_near, strict=True)
            ]
        return found

    def landmarks(self, close_ups: Sequence[Image]) -> list[CloseUpReading | None]:
        readings: list[CloseUpReading | None] = [None] * len(close_ups)
        for first in range(0, len(close_ups), IMAGE_BATCH_SIZE):
            batch = close_ups[first : first + IMAGE_BATCH_SIZE]
            faces_by_image = self._near.detect(batch, MIN_CLOSE_UP_SCORE)
            best = {row: faces[0] for row, faces in enumerate(faces_by_image) if faces}
            placed = self._mesh.place_mesh([batch[row] for row in best], list(best.values()))
            for (row, face), mesh in zip(best.items(), placed, strict=True):
                readings[first + row] = CloseUpReading(mesh, face.score, face.tilt(batch[row]))
        return readings

    def close(self) -> None:
        """Do nothing: the networks are shared."""


@dataclass(frozen=True)
class _Square:
    """Square of an image, in pixels. `angle`: radians, clockwise as seen."""

    centre: tuple[float, float]
    side: float
    angle: float

    @classmethod
    def around(cls, image_HWC: Image, face: Detection) -> "_Square":
        """Return the square around a face in which its eyes are level."""
        sides = np.array(image_HWC.shape[1::-1], np.float32)
        across = face.eye_line(image_HWC)
        left, top, width, height = np.array(face.box) * np.tile(sides, 2)
        centre = (float(left + width / 2), float(top + height / 2))
        side = float(max(width, height)) * MESH_CROP_SCALE
        return cls(centre, side, float(np.arctan2(across[1], across[0])))

    def crop(self, image_HWC: Image, size: int, border: int = cv2.BORDER_REPLICATE) -> Image:
        """Return the square at `size` pixels [size, size, 3]; by default the edge of the image repeats beyond it.

        Positions are rounded as OpenCV 4.10, the release in the graphs, rounds them: the far detector answers otherwise
        if values differ by one.
        """
        corners = np.asarray(cv2.boxPoints((self.centre, (self.side, self.side), np.degrees(self.angle))), np.float32)
        target = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
        _, inverse = cv2.invert(cv2.getPerspectiveTransform(corners, target))
        source_3HW = np.tensordot(inverse, _pixel_grid(size), 1)
        x, y = (np.rint(source_3HW[:2] * (SUBPIXEL_STEPS / source_3HW[2])) / SUBPIXEL_STEPS).astype(np.float32)
        pixels, fractions = cv2.convertMaps(x, y, cv2.CV_16SC2)
        return np.asarray(cv2.remap(image_HWC, pixels, fractions, cv2.INTER_LINEAR, borderMode=border), np.uint8)

    def to_image(self, points_P3: FloatArray, image_HWC: Image) -> FloatArray:
        """Convert points in fractions of the square to fractions of the image's sides, depth to those of its width."""
        height, width = image_HWC.shape[:2]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rotation = np.array([[cosine, sine], [-sine, cosine]])
        flat = (points_P3[:, :2] - 0.5) @ rotation * self.side + self.centre
        return np.column_stack([flat / (width, height), points_P3[:, 2] * self.side / width]).astype(np.float32)


def _anchors(size: int, strides: Sequence[int]) -> FloatArray:
    """Return the centres of the anchors in fractions of the input [A, 2], step by step for all grids of one stride."""
    grids = []
    for stride in dict.fromkeys(strides):
        steps = size // stride
        y, x = np.mgrid[:steps, :steps]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / steps
        grids.append(np.repeat(centres, list(strides).count(stride), axis=0))
    return np.concatenate(grids).astype(np.float32)


def _to_tensor(images_NHWC: Image, device: torch.device) -> Tensor:
    """Return the images as values 0..1 [N, 3, H, W] on the device."""
    return to_device(torch.from_numpy(images_NHWC), device).permute(0, 3, 1, 2).float() / 255


def _letterbox(image_HWC: Image, size: int) -> Image:
    """Return the whole image in the middle of a black square of `size` pixels."""
    height, width = image_HWC.shape[:2]
    return _Square((width / 2, height / 2), max(height, width), 0.0).crop(image_HWC, size, cv2.BORDER_CONSTANT)


@cache
def _pixel_grid(size: int) -> NDArray[np.float64]:
    """Return x, y and 1 of the pixels of a square [3, size, size]."""
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y, np.ones_like(x)]).astype(np.float64)


def _undo_letterbox(points_K82: FloatArray, image_HWC: Image) -> FloatArray:
    """Convert points in fractions of the letterbox to fractions of the image's sides."""
    sides = np.array(image_HWC.shape[1::-1], np.float32)
    return ((points_K82 - 0.5) * (sides.max() / sides) + 0.5).astype(np.float32)


def _weighted_nms(points_K82: FloatArray, scores_K: FloatArray) -> list[Detection]:
    """Merge answers that overlap into their mean, weighted by scores. The first two points are corners of the box."""
    boxes = [_rectangle(points_82[:2]) for points_82 in points_K82]
    remaining, faces = np.argsort(-scores_K, kind="stable").tolist(), []
    while remaining:
        best = remaining[0]
        merged = [row for row in remaining if row == best or iou(boxes[best], boxes[row]) > MERGED_IOU]
        mean_82 = np.average(points_K82[merged], axis=0, weights=scores_K[merged]).astype(np.float32)
        faces.append(Detection(_rectangle(mean_82[:2]), mean_82[2:], float(scores_K[best])))
        remaining = [row for row in remaining if row not in merged]
    return faces


def _rectangle(corners_22: FloatArray) -> Rectangle:
    (left, top), (right, bottom) = corners_22.tolist()
    return left, top, right - left, bottom - top

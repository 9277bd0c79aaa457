"""Pictures and films that are crops of one face already: nothing is searched, each frame is the face."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from ml.inference.face.backends.base import Image
from ml.inference.face.detector import DetectedFace, FaceDetector, SearchResult
from ml.media import MediaInfo
from ml.networks.crops import resize_crop
from ml.results import Notice, Options

MAX_CROP_ASPECT = 1.5
"""Maximum ratio of the sides of a picture that is taken for a face crop without a warning."""


class CropDetector(FaceDetector):
    """Takes each image for the crop of one face. Its meshes are unknown."""

    def __init__(self, crop_size: int) -> None:
        """`crop_size`: side of the crops, in pixels."""
        self._crop_size = crop_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    @property
    def batch_size(self) -> int:
        return 1

    def detect_batch(self, images: Sequence[Image], max_faces: int, turn: int = 0) -> list[list[DetectedFace]]:
        """Return one face for each RGB image, which fills it."""
        return [[self._face(image_HWC)] for image_HWC in images]

    def search(self, image_HWC: Image, max_faces: int, levels: int | None = None) -> SearchResult:
        """Return the one face."""
        return SearchResult([self._face(image_HWC)])

    def _face(self, image_HWC: Image) -> DetectedFace:
        height, width = image_HWC.shape[:2]
        grey_HW = np.asarray(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY), np.uint8)
        return DetectedFace((0.0, 0.0, width, height), 1.0, None, resize_crop(grey_HW, self._crop_size))


def crop_notices(options: Options, info: MediaInfo) -> tuple[Notice, ...]:
    """Return notices about the option `crops` where it makes no sense."""
    if not options.crops:
        return ()
    if not options.wants("face") or not info.width or not info.height:
        reason = "the media has no picture" if options.wants("face") else "faces are not analysed"
        return (_notice("crops_unavailable", f"The option crops has no effect, because {reason}."),)
    notices = []
    if max(info.width, info.height) > MAX_CROP_ASPECT * min(info.width, info.height):
        message = (
            f"The picture of {info.width}×{info.height} pixels was read as one face, but a face crop is about square."
        )
        notices.append(_notice("crops_doubtful", f"{message} Leave out the option crops to have faces searched."))
    if options.landmarks:
        notices.append(_notice("landmarks_unavailable", "Face crops have no landmarks."))
    if options.movements:
        notices.append(_notice("movements_unavailable", "Face crops have no mesh, from which movements are read."))
    return tuple(notices)


def _notice(code: str, message: str) -> Notice:
    return Notice(code=code, message=message)

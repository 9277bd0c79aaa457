"""What searches images for faces offers: mediapipe's graphs (`face_graphs`), or its nets alone (`face_nets`)."""

import os
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mesh = NDArray[np.float32]
Rectangle = tuple[float, float, float, float]
"""x, y, width, height."""
FaceSearch = Literal["graphs", "nets"]

MIN_DETECTION_SCORE = 0.5
"""Of the near detector. The far one has its own, .6, whatever is asked of its graph."""
MIN_CLOSE_UP_SCORE = 0.3
"""Where a face has been found already."""


class FaceBackend(Protocol):
    """Images are RGB [H, W, 3]. What is found is told in shares of their sides, depth in those of the width."""

    at_once: int
    """Images that are searched together at best."""

    def boxes(self, images: Sequence[Image]) -> list[list[tuple[Rectangle, float]]]:
        """The boxes that both detectors find in each image, and their scores: the far one's, then the near one's."""

    def meshes(self, close_ups: Sequence[Image]) -> list[Mesh | None]:
        """The mesh of the face that fills each image ([468, 3]), null where there is none."""

    def close(self) -> None: ...


def iou(a: Rectangle, b: Rectangle) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(wide, 0.0) * max(high, 0.0)
    return common / (a[2] * a[3] + b[2] * b[3] - common) if common else 0.0


def mediapipe_graphs() -> FaceBackend:
    """By mediapipe's graphs, on the CPU; for one thread at a time."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    from ml.inference.face.backends.mediapipe_cpu import MediapipeGraphs

    return MediapipeGraphs()


def mediapipe_nets(device: torch.device) -> Callable[[], FaceBackend]:
    """By the graphs' nets on a device, which are loaded once."""
    from ml.inference.face.backends.mediapipe_nets import MediapipeNets

    nets = MediapipeNets(device)
    return lambda: nets

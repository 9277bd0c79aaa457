"""Interface of the face search backends, and the choice between them."""

import os
import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.runtime.native_lines import without_native_lines

Image = NDArray[np.uint8]
"""RGB image [H, W, 3]."""
Mesh = NDArray[np.float32]
"""Points of a face [468, 3]."""
Rectangle = tuple[float, float, float, float]
"""x, y, width, height."""
FaceSearch = Literal["graphs", "nets"]
"""Name of a backend, as `AFFECT_FACE_SEARCH` states it."""

MIN_DETECTION_SCORE = 0.5
"""Minimum score of the near detector. The graph of the far detector has its own minimum of 0.6, which callers cannot
change."""
MIN_CLOSE_UP_SCORE = 0.3
"""Minimum score in a close-up, in which a face has been found already."""

_NOISE = re.compile(rb"inference_feedback_manager|absl::InitializeLog|XNNPACK delegate|MessageFactory")
"""Lines that mediapipe's libraries write about themselves whenever a graph starts."""


class FaceBackend(Protocol):
    """Search of images for faces and their meshes.

    Results are fractions of the image's width and height; the depth of a mesh is a fraction of the width.
    """

    batch_size: int
    """Number of images that are searched together at best."""

    def detect(self, images: Sequence[Image]) -> list[list[tuple[Rectangle, float]]]:
        """Return the boxes of each image with their scores: those of the far detector, then those of the near one."""

    def landmarks(self, close_ups: Sequence[Image]) -> list[Mesh | None]:
        """Return the mesh of the face that fills each image, null if the image shows no face."""

    def close(self) -> None:
        """Release what the backend holds."""


def iou(a: Rectangle, b: Rectangle) -> float:
    """Return the intersection over union of two boxes (x, y, width, height)."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(wide, 0.0) * max(high, 0.0)
    return common / (a[2] * a[3] + b[2] * b[3] - common) if common else 0.0


def mediapipe_graphs() -> FaceBackend:
    """Return mediapipe's graphs, which run on the CPU; for one thread at a time.

    Raises ModelStoreError on a machine for which there is no mediapipe.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    with without_native_lines(_NOISE):
        try:
            from ml.inference.face.backends.mediapipe_cpu import MediapipeGraphs
        except ImportError as error:
            raise ModelStoreError("mediapipe does not run on this machine: set AFFECT_FACE_SEARCH=nets") from error
        graphs = MediapipeGraphs()
        blank = np.zeros((64, 64, 3), np.uint8)  # the first image starts a graph, and that writes the lines
        graphs.detect([blank])
        graphs.landmarks([blank])
    return graphs


def mediapipe_nets(device: torch.device) -> Callable[[], FaceBackend]:
    """Return a function that returns mediapipe's networks without its graphs; they are loaded onto `device` once."""
    from ml.inference.face.backends.mediapipe_nets import MediapipeNets

    nets = MediapipeNets(device)
    return lambda: nets


def backend_factory(search: FaceSearch, device: torch.device) -> Callable[[], FaceBackend]:
    """Return a function that opens the backend called `search`; `device`: where the networks of `nets` run."""
    return mediapipe_nets(device) if search == "nets" else mediapipe_graphs

"""Interface of the face search backends, and the choice between them."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ml.errors import ModelStoreError
from ml.inference.face.boxes import FoundBox
from ml.inference.runtime.native_lines import without_native_lines

Image = NDArray[np.uint8]
"""RGB image [H, W, 3]."""
Mesh = NDArray[np.float32]
"""Points of a face [468, 3]."""
FaceSearch = Literal["graphs", "nets"]
"""Name of a backend, as `AFFECT_FACE_SEARCH` states it."""

MIN_FAR_SCORE, MIN_NEAR_SCORE = 0.6, 0.5
"""Minimum scores of a sure answer of the far and of the near detector, as mediapipe's graphs have them."""
MIN_CANDIDATE_SCORE = 0.3
"""Minimum score of an answer that is worth a closer look."""
MIN_CLOSE_UP_SCORE = 0.3
"""Minimum score in a close-up, in which a face has been found already."""

_NOISE = re.compile(rb"inference_feedback_manager|absl::InitializeLog|XNNPACK delegate|MessageFactory")
"""Lines that mediapipe's libraries write about themselves whenever a graph starts."""


@dataclass(frozen=True)
class CloseUpReading:
    """Answer about a close-up in which the near detector found a face.

    `mesh`: null if the mesh network takes it for none; `score`: of the detector; `tilt`: degrees by which the line
    through the eyes leans, clockwise as seen.
    """

    mesh: Mesh | None
    score: float
    tilt: float


class FaceBackend(Protocol):
    """Search of images for faces and their meshes.

    Results are fractions of the image's width and height; the depth of a mesh is a fraction of the width.
    """

    batch_size: int
    """Number of images that are searched together at best."""

    def detect(self, images: Sequence[Image]) -> list[list[FoundBox]]:
        """Return the boxes of each image from MIN_CANDIDATE_SCORE: of the far detector, then of the near one."""

    def landmarks(self, close_ups: Sequence[Image]) -> list[CloseUpReading | None]:
        """Return the reading of the face that fills each image, null if the detector finds none."""

    def close(self) -> None:
        """Release what the backend holds."""


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

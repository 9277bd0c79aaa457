"""mediapipe's graphs of faces, run in the calling thread.

With a thread pool of its own each graph takes longer, and more so if several graphs run at the same time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mediapipe
import numpy as np
from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
from mediapipe.python.solution_base import SolutionBase
from mediapipe.python.solutions import face_detection, face_mesh

from ml.inference.face.backends.base import MIN_CLOSE_UP_SCORE, MIN_DETECTION_SCORE, Image, Mesh, Rectangle

FAR, NEAR = 1, 0
"""mediapipe's numbers of its two detectors (`model_selection`)."""
_PACKAGES = Path(mediapipe.__file__).parent.parent


class _CallingThreadSolution(SolutionBase):
    def __init__(self, **options: Any) -> None:
        config = CalculatorGraphConfig.FromString((_PACKAGES / options.pop("binary_graph_path")).read_bytes())
        config.executor.add(type="ApplicationThreadExecutor")
        super().__init__(graph_config=config, **options)


class FaceDetection(face_detection.FaceDetection, _CallingThreadSolution):
    """mediapipe's face detection in the calling thread."""


class FaceMesh(face_mesh.FaceMesh, _CallingThreadSolution):
    """mediapipe's face mesh in the calling thread."""


class MediapipeGraphs:
    """Backend that runs mediapipe's graphs one image at a time; for one thread at a time."""

    batch_size = 1

    def __init__(self) -> None:
        self._detectors = [
            FaceDetection(model_selection=reach, min_detection_confidence=MIN_DETECTION_SCORE) for reach in (FAR, NEAR)
        ]
        self._mesh = FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=MIN_CLOSE_UP_SCORE)

    def close(self) -> None:
        for graph in (*self._detectors, self._mesh):
            graph.close()

    def detect(self, images: Sequence[Image]) -> list[list[tuple[Rectangle, float]]]:
        return [self._detect(image_HWC) for image_HWC in images]

    def _detect(self, image_HWC: Image) -> list[tuple[Rectangle, float]]:
        detections = []
        for detector in self._detectors:
            for detection in detector.process(image_HWC).detections or ():
                box = detection.location_data.relative_bounding_box
                detections.append(((box.xmin, box.ymin, box.width, box.height), min(float(detection.score[0]), 1.0)))
        return detections

    def landmarks(self, close_ups: Sequence[Image]) -> list[Mesh | None]:
        return [self._landmarks(image_HWC) for image_HWC in close_ups]

    def _landmarks(self, image_HWC: Image) -> Mesh | None:
        meshes = self._mesh.process(image_HWC).multi_face_landmarks
        return np.array([(point.x, point.y, point.z) for point in meshes[0].landmark], np.float32) if meshes else None

"""mediapipe's graphs of faces, run in the calling thread.

With a thread pool of its own each graph takes longer, and more so if several graphs run at the same time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml.inference.face.backends.base import (
    MIN_CANDIDATE_SCORE,
    MIN_CLOSE_UP_SCORE,
    MIN_FAR_SCORE,
    MIN_NEAR_SCORE,
    CloseUpReading,
    Image,
)
from ml.inference.face.backends.mediapipe_bindings import CalculatorGraphConfig, SolutionBase, mediapipe
from ml.inference.face.boxes import FoundBox

RIGHT_EYE, LEFT_EYE = 0, 1
"""Numbers of the key points of a detection."""
_MODULES = "mediapipe/modules"
_PACKAGES = Path(mediapipe.__file__).parent.parent


def use_calling_thread(config: Any) -> None:
    """Let a graph run in the thread that calls it."""
    config.executor.add(type="ApplicationThreadExecutor")


class _Graph(SolutionBase):
    def __init__(self, path: str, **options: Any) -> None:
        """`path`: of the graph, in mediapipe's modules."""
        config = CalculatorGraphConfig.FromString((_PACKAGES / _MODULES / path).read_bytes())
        use_calling_thread(config)
        super().__init__(graph_config=config, **options)


class FaceDetection(_Graph):
    """mediapipe's face detection: its far detector (`full`) or its near one (`short`)."""

    def __init__(self, reach: str, min_score: float) -> None:
        super().__init__(
            f"face_detection/face_detection_{reach}_range_cpu.binarypb",
            calculator_params={
                f"facedetection{reach}range__facedetection__TensorsToDetectionsCalculator.min_score_thresh": min_score
            },
            outputs=["detections"],
        )


class FaceMesh(_Graph):
    """mediapipe's mesh of the face with the highest score of the near detector, and that detection."""

    def __init__(self, min_score: float, max_faces: int = 1, *, attentive: bool = False) -> None:
        """`attentive`: the slower mesh, which follows lips, lids and irises more closely, with points of the irises."""
        super().__init__(
            "face_landmark/face_landmark_front_cpu.binarypb",
            side_inputs={"num_faces": max_faces, "with_attention": attentive, "use_prev_landmarks": False},
            calculator_params={
                "facedetectionshortrangecpu__facedetectionshortrange__facedetection__TensorsToDetectionsCalculator"
                ".min_score_thresh": min_score
            },
            outputs=["multi_face_landmarks", "face_detections"],
        )


class MediapipeGraphs:
    """Backend that runs mediapipe's graphs one image at a time; for one thread at a time."""

    batch_size = 1

    def __init__(self) -> None:
        self._detectors = [
            (FaceDetection("full", MIN_CANDIDATE_SCORE), MIN_FAR_SCORE),
            (FaceDetection("short", MIN_CANDIDATE_SCORE), MIN_NEAR_SCORE),
        ]
        self._mesh = FaceMesh(MIN_CLOSE_UP_SCORE)

    def close(self) -> None:
        for graph in (*(graph for graph, _ in self._detectors), self._mesh):
            graph.close()

    def detect(self, images: Sequence[Image]) -> list[list[FoundBox]]:
        return [self._detect(image_HWC) for image_HWC in images]

    def _detect(self, image_HWC: Image) -> list[FoundBox]:
        found = []
        for detector, min_score in self._detectors:
            for detection in detector.process(image_HWC).detections or ():
                box, score = detection.location_data.relative_bounding_box, min(float(detection.score[0]), 1.0)
                found.append(FoundBox((box.xmin, box.ymin, box.width, box.height), score, score >= min_score))
        return found

    def landmarks(self, close_ups: Sequence[Image]) -> list[CloseUpReading | None]:
        return [self._landmarks(image_HWC) for image_HWC in close_ups]

    def _landmarks(self, image_HWC: Image) -> CloseUpReading | None:
        answer = self._mesh.process(image_HWC)
        if not answer.face_detections:
            return None
        (detection, *_), meshes = answer.face_detections, answer.multi_face_landmarks
        right, left = (detection.location_data.relative_keypoints[eye] for eye in (RIGHT_EYE, LEFT_EYE))
        height, width = image_HWC.shape[:2]
        tilt = float(np.degrees(np.arctan2((left.y - right.y) * height, (left.x - right.x) * width)))
        mesh = np.array([(point.x, point.y, point.z) for point in meshes[0].landmark], np.float32) if meshes else None
        return CloseUpReading(mesh, min(float(detection.score[0]), 1.0), tilt)

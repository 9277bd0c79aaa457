"""mediapipe's graphs of faces, run in the thread that asks: with a pool of threads each they take a fifth longer where
several run beside each other."""

from pathlib import Path
from typing import Any

import mediapipe
from mediapipe.framework.calculator_pb2 import CalculatorGraphConfig
from mediapipe.python.solution_base import SolutionBase
from mediapipe.python.solutions import face_detection, face_mesh

_PACKAGES = Path(mediapipe.__file__).parent.parent


class _InThisThread(SolutionBase):
    def __init__(self, **told: Any) -> None:
        config = CalculatorGraphConfig.FromString((_PACKAGES / told.pop("binary_graph_path")).read_bytes())
        config.executor.add(type="ApplicationThreadExecutor")
        super().__init__(graph_config=config, **told)


class FaceDetection(face_detection.FaceDetection, _InThisThread):
    """As mediapipe has it."""


class FaceMesh(face_mesh.FaceMesh, _InThisThread):
    """As mediapipe has it."""

"""mediapipe's graphs in the thread that asks: as those of mediapipe's own making answer, without threads of theirs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mediapipe.python.solutions.face_detection import FaceDetection as PooledDetection
from mediapipe.python.solutions.face_mesh import FaceMesh as PooledMesh

from ml.inference.face.backends.mediapipe_cpu import FaceDetection, FaceMesh
from tests.face_files import two_people

MESH = {"static_image_mode": True, "max_num_faces": 2}


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@contextmanager
def graphs(detection: Callable[..., Any], mesh: Callable[..., Any]) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(graph)
            for graph in (*(detection(model_selection=reach) for reach in (0, 1)), mesh(**MESH))
        ]


def test_mediapipe_cpu_equals_mediapipe_without_starting_threads() -> None:
    image = two_people()
    with graphs(PooledDetection, PooledMesh) as (near, far, mesh):
        expected = [near.process(image).detections, far.process(image).detections]
        meshes = mesh.process(image).multi_face_landmarks
    assert len(meshes) == 2
    before = threads()
    with graphs(FaceDetection, FaceMesh) as (near, far, mesh):
        assert [near.process(image).detections, far.process(image).detections] == expected
        assert mesh.process(image).multi_face_landmarks == meshes
        assert not mesh.process(np.zeros_like(image)).multi_face_landmarks
        assert threads() == before

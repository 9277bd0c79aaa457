"""mediapipe's graphs in the thread that asks: as those of mediapipe's own making answer, without threads of theirs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mediapipe.python.solutions.face_detection import FaceDetection as PooledDetection
from mediapipe.python.solutions.face_mesh import FaceMesh as PooledMesh

from ml.inference.face.backends.mediapipe_cpu import FaceDetection, FaceMesh, MediapipeGraphs
from tests.face_files import two_people

MIN_SCORES = {"full": 0.6, "short": 0.5}
"""Minimum scores of mediapipe's two graphs."""


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@contextmanager
def graphs(*making: Callable[[], Any]) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [stack.enter_context(make()) for make in making]


def test_mediapipe_cpu_equals_mediapipe_without_starting_threads() -> None:
    image = two_people()
    pooled = (
        partial(PooledDetection, model_selection=1),
        partial(PooledDetection, model_selection=0),
        partial(PooledMesh, static_image_mode=True, max_num_faces=2),
    )
    with graphs(*pooled) as (far, near, mesh):
        expected = [far.process(image).detections, near.process(image).detections]
        meshes = mesh.process(image).multi_face_landmarks
    assert len(meshes) == 2
    before = threads()
    own = (*(partial(FaceDetection, reach, score) for reach, score in MIN_SCORES.items()), partial(FaceMesh, 0.5, 2))
    with graphs(*own) as (far, near, mesh):
        assert [far.process(image).detections, near.process(image).detections] == expected
        assert mesh.process(image).multi_face_landmarks == meshes
        assert len(mesh.process(image).face_detections) == 2
        assert not mesh.process(np.zeros_like(image)).multi_face_landmarks
        assert threads() == before


def test_mediapipe_cpu_detections_below_the_graphs_own_minimum_are_not_sure() -> None:
    small = cv2.resize(two_people(), (80, 46), interpolation=cv2.INTER_AREA)
    image = np.full((240, 320, 3), 120, np.uint8)
    image[80:126, 90:170] = small
    backend = MediapipeGraphs()
    try:
        (found,) = backend.detect([image])
    finally:
        backend.close()
    assert {each.is_sure for each in found} == {True, False}
    assert min(each.score for each in found) >= 0.3

"""mediapipe's nets without its graphs: the same faces, wherever they are, however many images are searched together."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.inference.face.backends.base import mediapipe_nets
from ml.inference.face.detector import DetectedFace, FaceDetector
from tests.face_files import nobody, portrait, two_people

Image = NDArray[np.uint8]


def turned(degrees: float, scale: float, shape: tuple[int, int]) -> Image:
    """The portrait on a grey ground of the shape (height, width)."""
    matrix = cv2.getRotationMatrix2D((134, 122), degrees, scale)
    matrix[:, 2] += np.array(shape[::-1]) / 2 - (134, 122)
    return np.asarray(cv2.warpAffine(portrait(), matrix, shape[::-1], borderValue=(90, 90, 90)), np.uint8)


IMAGES = {
    "portrait": portrait(),
    "two people": two_people(),
    "nobody": nobody(),
    "turned, wide": turned(25.0, 1.0, (360, 640)),
    "turned, high": turned(-30.0, 0.7, (400, 223)),
    "small": turned(5.0, 0.35, (241, 427)),
    "beyond the edge": np.ascontiguousarray(portrait()[:170, 60:190]),
    "tiny": np.full((3, 5, 3), 200, np.uint8),
}


@pytest.fixture(scope="module")
def detectors() -> Iterator[tuple[FaceDetector, FaceDetector]]:
    """By the graphs, and by the nets."""
    with FaceDetector(48) as graphs, FaceDetector(48, mediapipe_nets(torch.device("cpu"))) as nets:
        yield graphs, nets


def same(found: list[DetectedFace], expected: list[DetectedFace]) -> None:
    assert [(face.rank, face.landmarks is None) for face in found] == [
        (face.rank, face.landmarks is None) for face in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.box == pytest.approx(other.box, abs=0.2)
        assert one.score == pytest.approx(other.score, abs=2e-3)
        if one.landmarks is not None and other.landmarks is not None:
            assert np.abs(one.landmarks - other.landmarks).max() < 0.25
        assert np.abs(one.crop.astype(int) - other.crop).max() <= 6


@pytest.mark.parametrize("name", IMAGES)
def test_mediapipe_nets_find_what_the_graphs_find(name: str, detectors: tuple[FaceDetector, FaceDetector]) -> None:
    graphs, nets = detectors
    same(nets.detect(IMAGES[name], 4), graphs.detect(IMAGES[name], 4))


def test_mediapipe_nets_find_the_faces_that_the_images_show(detectors: tuple[FaceDetector, FaceDetector]) -> None:
    found = dict(zip(IMAGES, detectors[1].detect_batch(list(IMAGES.values()), 4), strict=True))
    assert {name: len(faces) for name, faces in found.items() if len(faces) != 1} == {
        "two people": 2,
        "nobody": 0,
        "tiny": 0,
    }
    assert all(face.landmarks is not None for faces in found.values() for face in faces)


@pytest.mark.slow
def test_mediapipe_nets_batch_equals_single_images(detectors: tuple[FaceDetector, FaceDetector]) -> None:
    _, nets = detectors
    images = [*IMAGES.values()] * 3
    assert len(images) > nets.batch_size
    for image, faces in zip(images, nets.detect_batch(images, 1), strict=True):
        same(faces, nets.detect(image, 1))

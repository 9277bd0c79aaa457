"""Thorough searches of pictures: the portrait small, turned, cut or repeated, and pictures without people."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.inference.face.backends.base import mediapipe_nets
from ml.inference.face.boxes import is_same_face
from ml.inference.face.detector import DetectedFace, FaceDetector
from ml.inference.face.turns import turn_image, unturn_box, unturn_points
from tests.face_files import portrait, two_people

Image = NDArray[np.uint8]
FACE = (85, 73, 98, 98)
"""Box of the face in the portrait."""


@pytest.fixture(scope="module")
def detector() -> Iterator[FaceDetector]:
    with FaceDetector(96) as opened:
        yield opened


def wall(width: int, height: int) -> Image:
    return np.full((height, width, 3), (150, 160, 150), np.uint8)


def hang(image: Image, side: int, places: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Put portraits with faces of a size on a wall; return the centres of the faces."""
    scale = side / FACE[2]
    small = cv2.resize(portrait(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    for number, (x, y) in enumerate(places):
        image[y : y + height, x : x + width] = small[:, ::-1] if number % 2 else small
    middle = FACE[0] + FACE[2] / 2
    across = [width - middle * scale if number % 2 else middle * scale for number in range(len(places))]
    return [(x + dx, y + (FACE[1] + FACE[3] / 2) * scale) for (x, y), dx in zip(places, across, strict=True)]


def are_at(faces: list[DetectedFace], centres: list[tuple[float, float]], within: float) -> bool:
    found = sorted((face.box[0] + face.box[2] / 2, face.box[1] + face.box[3] / 2) for face in faces)
    return len(found) == len(centres) and bool(np.abs(np.array(found) - np.array(sorted(centres))).max() < within)


def differ(one: Image, other: Image) -> float:
    """Return the mean difference of two crops."""
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("side", [32, 64, 120])
def test_detector_finds_small_faces_in_a_large_picture(detector: FaceDetector, side: int) -> None:
    image = wall(1920, 1080)
    centres = hang(image, side, [(100, 100), (900, 300), (1500, 650)])
    faces = detector.detect(image, 32)
    assert are_at(faces, centres, side / 3)
    assert all(face.landmarks is not None and face.turn == 0 for face in faces)
    assert [face.rank for face in faces] == [0, 1, 2]
    assert len(detector.detect(image, 2)) == 2


def test_detector_whole_picture_alone_does_not_find_them(detector: FaceDetector) -> None:
    image = wall(1920, 1080)
    hang(image, 32, [(100, 100), (900, 300)])
    assert detector.detect_batch([image], 32) == [[]]


@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize("people", [portrait, two_people])
def test_detector_turns_faces_that_are_not_upright(detector: FaceDetector, people: object, turn: int) -> None:
    upright = people()  # type: ignore[operator]
    expected = detector.detect(upright, 4)
    faces = detector.detect(turn_image(upright, turn), 4)
    assert [face.turn for face in faces] == [(4 - turn) % 4] * len(expected)
    for face in faces:
        assert any(differ(face.crop, each.crop) < 0.5 * differ(face.crop[::-1], each.crop) for each in expected)


def test_detector_finds_nobody_on_noise_and_text(detector: FaceDetector) -> None:
    noise = np.random.default_rng(0).normal(120, 40, (90, 160, 3))
    page = np.full((720, 1280, 3), 245, np.uint8)
    for number in range(60):
        place = (number * 97 % 1200, number * 61 % 700)
        cv2.putText(page, "lorem ipsum", place, 0, 0.3 + number % 5 / 8, (30, 30, 30), 1, cv2.LINE_AA)
    textured = cv2.resize(np.clip(noise, 0, 255).astype(np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    for image in (page, textured, wall(1280, 720)):
        assert detector.search(image, 32).faces == []


@pytest.mark.slow
def test_detector_by_networks_finds_the_same_small_faces(detector: FaceDetector) -> None:
    image = wall(640, 360)
    hang(image, 40, [(30, 40), (400, 180)])
    with FaceDetector(96, mediapipe_nets(torch.device("cpu"))) as nets:
        found, expected = nets.search(image, 8), detector.search(image, 8)
    assert len(found.faces) == len(expected.faces) == 2
    for one, other in zip(found.faces, expected.faces, strict=True):
        assert one.box == pytest.approx(other.box, abs=0.5) and one.turn == other.turn
        assert np.abs(one.crop.astype(int) - other.crop).max() <= 12


def test_detector_finds_a_person_once(detector: FaceDetector) -> None:
    image = cv2.resize(two_people(), None, fx=1.3, fy=1.3, interpolation=cv2.INTER_CUBIC)
    faces = detector.detect(np.concatenate([image, image[:, ::-1]]), 32)
    assert len(faces) == 4
    assert not any(is_same_face(a.extent, b.extent) for n, a in enumerate(faces) for b in faces[n + 1 :])


def test_follow_finds_a_face_that_moved_a_little_and_not_one_that_left(detector: FaceDetector) -> None:
    first, later = wall(1280, 720), wall(1280, 720)
    hang(first, 40, [(300, 200), (800, 200)])
    (centre,) = hang(later, 40, [(308, 205)])
    known = detector.detect(first, 4)
    followed = [face for face in detector.follow(later, known) if face]
    assert len(known) == 2 and are_at(followed, [centre], 8)
    assert followed[0].box[2] == pytest.approx(40, rel=0.35)


@settings(max_examples=30)
@given(st.tuples(*[st.floats(0, 0.5)] * 4), st.integers(0, 3))
def test_unturn_box_and_points_agree(box: tuple[float, float, float, float], turn: int) -> None:
    x, y, width, height = box
    left, top, wide, high = unturn_box(box, turn)
    points = unturn_points(np.array([[x, y, 1], [x + width, y + height, 2]], np.float32), turn)
    assert points[:, :2].min(0) == pytest.approx((left, top), abs=1e-6)
    assert points[:, :2].max(0) == pytest.approx((left + wide, top + high), abs=1e-6)
    assert points[:, 2].tolist() == [1, 2]

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ml.inference.face.quality import (
    MOUTH,
    PITCH,
    QUALITIES,
    ROLL,
    SCORE,
    SHARPNESS,
    SIZE,
    YAW,
    face_quality,
    sharpness,
)

BOX = (10.0, 20.0, 30.0, 120.0)


def drawn_face(side: int = 96) -> NDArray[np.uint8]:
    """Return a drawing with lines of a pixel, as sharp as a crop can be."""
    image = np.full((side, side), 160, np.uint8)
    cv2.ellipse(image, (side // 2, side // 2), (side // 3, side // 2 - 4), 0, 0, 360, 60, 1)
    for x in (side // 3, 2 * side // 3):
        cv2.circle(image, (x, side // 3), side // 16, 20, 1)
    cv2.line(image, (side // 3, 3 * side // 4), (2 * side // 3, 3 * side // 4), 20, 1)
    return image


def flat_mesh() -> NDArray[np.float32]:
    """Return a mesh of a face 180 pixels high that looks at the camera with a closed mouth."""
    mesh = np.zeros((468, 3), np.float32)
    mesh[10, :2], mesh[152, :2] = (0, -90), (0, 90)
    mesh[234, :2], mesh[454, :2] = (-70, 0), (70, 0)
    mesh[33, :2], mesh[263, :2] = (-45, -30), (45, -30)
    mesh[[13, 14], 1] = 50
    return mesh


def turned(mesh: NDArray[np.float32], axis: tuple[float, float, float]) -> NDArray[np.float32]:
    rotation, _ = cv2.Rodrigues(np.radians(axis))
    return np.asarray(mesh @ rotation.T, np.float32)


def test_face_quality_has_size_and_score_in_the_original_frame() -> None:
    row = face_quality(drawn_face(), BOX, 0.75, scale=2.0)
    assert len(row) == len(QUALITIES) and row[SIZE] == pytest.approx(120) and row[SCORE] == 0.75
    assert np.isnan(row[[YAW, PITCH, ROLL, MOUTH]]).all() and row[SHARPNESS] > 0.1


def test_face_quality_of_a_box_without_area_is_finite() -> None:
    assert face_quality(drawn_face(), (0.0, 0.0, -1.0, 5.0), 0.5)[SIZE] == 0


def test_sharpness_falls_with_blur_and_with_few_pixels() -> None:
    sharp = drawn_face()
    few = np.asarray(cv2.resize(cv2.resize(sharp, (16, 16), interpolation=cv2.INTER_AREA), (96, 96)), np.uint8)
    blurred = [np.asarray(cv2.GaussianBlur(sharp, (0, 0), sigma), np.uint8) for sigma in (1.0, 2.0, 4.0)]
    values = [sharpness(image) for image in (sharp, *blurred)]
    assert values == sorted(values, reverse=True) and sharpness(few) < values[0] / 3


def test_sharpness_does_not_depend_on_light_and_is_zero_for_a_flat_crop() -> None:
    sharp = drawn_face()
    assert sharpness(np.asarray(sharp // 3, np.uint8)) == pytest.approx(sharpness(sharp), rel=0.05)
    assert sharpness(np.full((96, 96), 90, np.uint8)) == 0


@pytest.mark.parametrize("column, axis", [(YAW, (0, -25, 0)), (PITCH, (-25, 0, 0)), (ROLL, (0, 0, 25))])
def test_pose_is_in_degrees(column: int, axis: tuple[float, float, float]) -> None:
    row = face_quality(drawn_face(), BOX, 1.0, turned(flat_mesh(), axis))
    others = [place for place in (YAW, PITCH, ROLL) if place != column]
    assert row[column] == pytest.approx(25, abs=0.1) and np.abs(row[others]).max() < 0.1


def test_pose_of_a_turn_to_the_right_of_the_image_is_positive() -> None:
    mesh = flat_mesh()
    mesh[234, 2], mesh[454, 2] = -40, 40  # the cheek at the left of the image comes nearer
    assert face_quality(drawn_face(), BOX, 1.0, mesh)[YAW] == pytest.approx(np.degrees(np.arctan2(80, 140)), abs=0.1)


def test_mouth_is_the_gap_in_heights_of_the_face() -> None:
    mesh = flat_mesh()
    assert face_quality(drawn_face(), BOX, 1.0, mesh)[MOUTH] == 0
    mesh[14, 1] += 18
    assert face_quality(drawn_face(), BOX, 1.0, mesh, scale=3.0)[MOUTH] == pytest.approx(0.1, abs=0.001)


def test_face_quality_of_a_mesh_in_one_point_is_finite() -> None:
    assert np.isfinite(face_quality(drawn_face(), BOX, 1.0, np.zeros((468, 3), np.float32))).all()

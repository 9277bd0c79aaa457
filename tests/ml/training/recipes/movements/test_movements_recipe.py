"""Data, network and figures of the recipe of the face movements."""

from pathlib import Path

import numpy as np
import pytest

from ml.errors import InvalidManifest
from ml.movements import MOVEMENTS
from ml.networks.crops import LANDMARKS, LEFT_EYE, RIGHT_EYE
from ml.networks.movements import EYE_HEIGHT, EYE_WIDTH
from ml.training.datasets.example import Example
from ml.training.recipes.movements.config import MovementTrainConfig
from ml.training.recipes.movements.data import LEFT_IRIS, RIGHT_IRIS, MovementData, gaze_of, reference_shape
from ml.training.recipes.movements.figures import difference_figures, difference_table
from ml.training.recipes.movements.recipe import new_network, predict
from ml.training.recipes.movements.teacher import POINTS


def config(**changes: object) -> MovementTrainConfig:
    return MovementTrainConfig(data=Path("faces"), teacher=Path("teacher.tflite"), hidden=16, **changes)  # type: ignore[arg-type]


def symmetric_face() -> np.ndarray:
    """A face that is its own mirror image, with level eyes."""
    points = np.random.default_rng(0).uniform((10, -60, -30), (60, 80, 30), (LANDMARKS // 2, 3))
    points[0], points[1] = (20, 0, 0), (40, 0, 0)
    both = np.concatenate([points * [-1, 1, 1], points]).astype(np.float32)
    order = [*RIGHT_EYE[::-1], *LEFT_EYE]  # the corners of the eyes get the first two points of either half
    places = [0, 1, LANDMARKS // 2, LANDMARKS // 2 + 1]
    for place, corner in zip(places, order, strict=True):
        both[[place, corner]] = both[[corner, place]]
    return both


def data() -> MovementData:
    generator = np.random.default_rng(0)
    faces = tuple(Example(label="happy", dataset=name, split="valid", path=Path(name)) for name in ("a", "a", "b"))
    return MovementData(
        generator.normal(0, 1, (3, LANDMARKS, 3)).astype(np.float32),
        generator.integers(0, 255, (3, 2, EYE_HEIGHT, EYE_WIDTH), np.uint8),
        generator.uniform(0, 1, (3, len(MOVEMENTS))).astype(np.float32),
        np.array([[0.1, 0.0], [np.nan, np.nan], [0.2, 0.1]], np.float32),
        faces,
    )


def irises(offset: tuple[float, float]) -> np.ndarray:
    """A level mesh whose irises, 10 wide, are away from the middle between the corners of the eyes."""
    points = np.zeros((POINTS, 3), np.float32)
    points[list(RIGHT_EYE), :2] = (-40, 0), (-20, 0)
    points[list(LEFT_EYE), :2] = (20, 0), (40, 0)
    for middle, iris in ((-30, RIGHT_IRIS), (30, LEFT_IRIS)):
        rim = np.array([(0, 0), (5, 0), (0, -5), (-5, 0), (0, 5)])
        points[list(iris), :2] = rim + np.array([middle + offset[0], offset[1]])
    return points


def test_gaze_of_eyes_in_the_middle_is_that_of_the_head() -> None:
    assert np.allclose(gaze_of(irises((0, 0)), (0, 0, 0)), 0, atol=1e-6)


def test_gaze_is_to_the_left_of_the_person_and_up() -> None:
    yaw, pitch = gaze_of(irises((3, -2)), (0, 0, 0))
    assert yaw == pytest.approx(np.arcsin(0.3), abs=1e-3) and pitch == pytest.approx(np.arcsin(0.2), abs=1e-3)


def test_reference_shape_finds_the_twin_of_each_point() -> None:
    reference, twins = reference_shape(np.stack([symmetric_face()] * 2))
    assert (twins[twins] == np.arange(LANDMARKS)).all()
    assert np.allclose(reference[twins] * [-1, 1, 1], reference, atol=1e-5)


def test_new_network_reads_views_and_is_measured_by_data_set() -> None:
    views = data()
    network = new_network(config(), views, np.zeros((LANDMARKS, 3), np.float32), np.arange(LANDMARKS)).eval()
    movements, gaze = predict(network, views)
    figures = difference_figures(movements, gaze, views)
    assert movements.shape == (3, len(MOVEMENTS)) and gaze.shape == (3, 2)
    assert set(figures) == {"all", "a", "b"} and figures["all"]["n"] == 3
    assert "| mouth_smile_left | AU12 |" in difference_table(figures)


def test_figures_of_the_teachers_own_answers_have_no_difference() -> None:
    views = data()
    figures = difference_figures(views.movements, views.gaze, views)["all"]
    assert figures["difference"] == 0 and figures["movements"]["jaw_open"]["correlation"] == 1


def test_unturned_views_are_those_with_a_gaze() -> None:
    assert len(data().unturned.faces) == 2


def test_sample_without_a_count_is_refused() -> None:
    with pytest.raises(InvalidManifest):
        _ = config(sample=("fer2013",)).counts

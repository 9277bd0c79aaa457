"""Movements of faces as served: rows of values, head pose, and fields of the result."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import ModelStoreError
from ml.inference.face.movements import VALUES, MovementPredictor, frame_fields, head_pose, mouth_opening
from ml.inference.face.predictor import FaceSample
from ml.movements import MOVEMENTS
from ml.networks.crops import LANDMARKS
from ml.networks.movements import MovementConfig, MovementNet
from ml.registry import ModelStore
from tests.toy_models import publish_face

RIGID = tuple(range(40))
REFERENCE = np.random.default_rng(1).normal(0, 1, (len(RIGID), 3))


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation of a head that turns to its left, upwards, and leans clockwise as seen (x right, y down, z away)."""
    a, b, c = np.radians([-yaw, -pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def predictor() -> MovementPredictor:
    torch.manual_seed(0)
    network = MovementNet(MovementConfig(hidden=16, eye=4, rigid=RIGID))
    network.reference_RD.copy_(torch.from_numpy(REFERENCE))
    return MovementPredictor(network, torch.device("cpu"))


def sample(seed: int = 0) -> FaceSample:
    generator = np.random.default_rng(seed)
    return FaceSample(
        generator.integers(0, 255, (96, 96), np.uint8), generator.uniform(20, 180, (LANDMARKS, 3)).astype(np.float32)
    )


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, 20, 0), (0, 0, -15)])
def test_head_pose_is_the_rotation_whatever_size_and_place(angles: tuple[float, float, float]) -> None:
    points = (REFERENCE @ rotation(*angles).T) * 40 + 300
    assert head_pose(points.astype(np.float32), REFERENCE) == pytest.approx(angles, abs=0.1)


def test_mouth_opening_is_in_widths_of_the_mouth() -> None:
    points = np.zeros((LANDMARKS, 3), np.float32)
    points[[78, 308]] = (0, 0, 0), (4, 0, 0)
    points[[13, 14]] = (2, -0.5, 0), (2, 0.5, 0)
    assert mouth_opening(points) == pytest.approx(0.25)


def test_read_gives_each_face_the_same_row_in_any_batch_and_nan_without_a_mesh() -> None:
    faces = [sample(seed) for seed in range(3)]
    rows = predictor().read([faces[0], FaceSample(faces[1].crop), faces[2]])
    assert rows.shape == (3, len(VALUES))
    assert np.isnan(rows[1]).all()
    assert np.allclose(rows[2], predictor().read([faces[2]])[0], atol=1e-4)


def test_a_mirrored_mesh_has_mirrored_movements() -> None:
    assert predictor().mirrored_difference([sample(seed) for seed in range(3)]) < 1e-5


def test_frame_fields_name_what_is_known() -> None:
    values = np.linspace(0, 1, len(VALUES)).astype(np.float32)
    fields = frame_fields(values)
    assert fields["movements"].by_name()["neutral"] == 0
    assert fields["eyes_open"].left == pytest.approx(1 - values[MOVEMENTS.index("eye_blink_left")], abs=1e-3)
    assert fields["pose"].yaw == pytest.approx(values[52], abs=0.01)


def test_frame_fields_of_a_face_without_a_mesh_are_empty() -> None:
    assert frame_fields(None) == frame_fields(np.full(len(VALUES), np.nan, np.float32)) == {}


def test_load_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with pytest.raises(ModelStoreError, match="no model of face movements"):
        MovementPredictor.load(store, publish_face(store), torch.device("cpu"))

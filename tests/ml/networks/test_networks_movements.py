"""Network of the face movements, and the pictures of the eyes that it reads."""

import numpy as np
import torch

from ml.movements import MOVEMENTS
from ml.networks.crops import LANDMARKS, LEFT_EYE, RIGHT_EYE, align_crop, points_in_crop
from ml.networks.movements import EYE_HEIGHT, EYE_WIDTH, MovementConfig, MovementNet, eye_pictures


def mesh(seed: int = 0) -> np.ndarray:
    """A cloud of points in the shape of a face, with level eyes."""
    points = np.random.default_rng(seed).uniform((60, 50, -30), (140, 150, 30), (LANDMARKS, 3))
    points[list(RIGHT_EYE), :2] = (75, 90), (95, 90)
    points[list(LEFT_EYE), :2] = (105, 90), (125, 90)
    return points.astype(np.float32)


def test_mirrored_face_has_mirrored_movements_and_gaze() -> None:
    torch.manual_seed(0)
    network = MovementNet(MovementConfig(hidden=16, eye=4)).eval()
    network.twins_P.copy_(torch.arange(LANDMARKS).flip(0))
    points, eyes = torch.randn(3, LANDMARKS, 3), torch.rand(3, 2, EYE_HEIGHT, EYE_WIDTH)
    movements, gaze = network(points, eyes)
    mirrored = points.flip(1) * torch.tensor([-1.0, 1.0, 1.0])
    other, other_gaze = network(mirrored, eyes.flip(1))
    left, right = (MOVEMENTS.index(f"mouth_smile_{side}") for side in ("left", "right"))
    assert torch.allclose(movements[:, left], other[:, right], atol=1e-6)
    assert torch.allclose(gaze * torch.tensor([-1.0, 1.0]), other_gaze, atol=1e-6)


def test_light_and_contrast_of_the_eyes_change_nothing() -> None:
    network = MovementNet(MovementConfig(hidden=16, eye=4)).eval()
    points, eyes = torch.randn(2, LANDMARKS, 3), torch.rand(2, 2, EYE_HEIGHT, EYE_WIDTH)
    bright, _ = network(points, eyes * 0.5 + 0.4)
    assert torch.allclose(network(points, eyes)[0], bright, atol=1e-5)


def test_points_in_crop_are_where_align_crop_draws_them() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    points = mesh()
    x, y = points[list(RIGHT_EYE), :2].mean(0).round().astype(int)
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    crop = align_crop(image, points, 96)
    brightest = np.argwhere(crop > crop.max() / 2).mean(0)[::-1]
    assert np.allclose(brightest, points_in_crop(points, 96)[list(RIGHT_EYE)].mean(0), atol=1.0)


def test_eye_pictures_show_each_eye_in_the_middle_and_the_left_one_mirrored() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    points = mesh()
    for x in (75, 125):  # the outer corner of each eye
        image[86:95, x - 3 : x + 4] = 255
    right, left = eye_pictures(align_crop(image, points, 96), points)
    assert right.shape == (EYE_HEIGHT, EYE_WIDTH)
    for eye in (right, left):
        assert eye[:, : EYE_WIDTH // 2].mean() > 4 * eye[:, EYE_WIDTH // 2 :].mean()

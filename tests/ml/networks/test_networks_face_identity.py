import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ml.networks.crops import LANDMARKS, align_crop, points_in_crop
from ml.networks.face_identity import (
    ANCHORS,
    IDENTITY_SIZE,
    IdentityConfig,
    IdentityNet,
    NormedConvolution,
    chip_around,
    identity_chip,
)


@pytest.mark.parametrize("size", [112, 150])
def test_identity_net_returns_unit_vectors_of_chips_of_any_size(size: int) -> None:
    torch.manual_seed(0)
    network = IdentityNet(IdentityConfig(size)).eval()
    with torch.inference_mode():
        (vectors,) = network(torch.rand(3, 1, size, size))
    assert vectors.shape == (3, IDENTITY_SIZE)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)


def test_identity_net_fits_into_eight_megabytes_in_8_bits() -> None:
    assert sum(weights.numel() for weights in IdentityNet(IdentityConfig()).parameters()) < 6_000_000


def face(x: float, y: float, width: float, turn: float = 0.0) -> NDArray[np.float32]:
    """Return a mesh whose anchors are those of an upright face, turned by some radians around their middle."""
    places = np.array([[0.860, 0.213], [0.646, 0.229], [0.121, 0.214], [0.334, 0.229], [0.490, 0.628]])
    sine, cosine = np.sin(turn), np.cos(turn)
    mesh = np.zeros((LANDMARKS, 3), np.float32)
    mesh[:, :2] = np.random.default_rng(0).uniform([0, -0.2], [1, 1.2], (LANDMARKS, 2))
    mesh[list(ANCHORS), :2] = places
    centred = mesh[:, :2] - 0.5
    mesh[:, :2] = centred @ np.array([[cosine, sine], [-sine, cosine]]) * width + [x, y]
    return mesh


def picture(mesh: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a picture with a bright dot at each anchor."""
    image = np.zeros((300, 300, 3), np.uint8)
    for x, y in mesh[list(ANCHORS), :2]:
        image[round(float(y)) - 2 : round(float(y)) + 3, round(float(x)) - 2 : round(float(x)) + 3] = 255
    return image


@pytest.mark.parametrize("mesh", [face(150, 150, 90), face(120, 160, 140, 0.4), face(170, 140, 110, -0.3)])
def test_identity_chip_puts_the_anchors_where_they_belong(mesh: NDArray[np.float32]) -> None:
    chip = identity_chip(align_crop(picture(mesh), mesh, 96), mesh, 150)
    assert chip.shape == (150, 150)
    for x, y in [(110.96, 46.35), (89.61, 47.9), (37.06, 46.37), (58.41, 47.91), (74.01, 87.78)]:
        assert chip[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5].max() > 100


def test_identity_chip_of_a_face_without_a_mesh_takes_it_for_upright() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)
    assert identity_chip(crop, None, 112).shape == (112, 112)


def test_chip_around_follows_a_moved_face() -> None:
    mesh = face(150, 150, 90)
    crop = align_crop(picture(mesh), mesh, 96)
    points = points_in_crop(mesh, 96)[list(ANCHORS)]
    moved, there = np.roll(crop, 3, axis=1), points + np.array([3, 0])
    difference = chip_around(crop, points, 112).astype(int) - chip_around(moved, there, 112)
    assert np.abs(difference).mean() < 8


def test_normed_convolution_halves_without_padding() -> None:
    assert NormedConvolution(1, 2, stride=2)(torch.zeros(2, 1, 9, 9)).shape[-1] == 4

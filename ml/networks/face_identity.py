"""Face identity: a residual network that turns the crop of a face into a vector, alike for the same person.

The shape is that of dlib's face recognition network (He et al. 2016, with half the filters and without the last
blocks), on smaller grey chips, in which the eyes and the base of the nose are in fixed places.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, normalize, pad, relu

from ml.networks.crops import points_in_crop
from ml.networks.registry import register

IDENTITY_SIZE = 128
ANCHORS = (263, 362, 33, 133, 2)
"""Mesh points at the outer and inner corner of the left eye, of the right eye, and below the nose."""
_PLACES = np.array([[0.85957, 0.21350], [0.64606, 0.22897], [0.12058, 0.21373], [0.33409, 0.22906], [0.49011, 0.62780]])
"""Places of the anchors in a mean face, source: dlib, `get_face_chip_details`."""
_MARGIN = 0.25
"""Margin around the mean face, in its sides."""
_STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels and blocks of each stage, and whether its first block halves the picture."""
_UPRIGHT = np.array([[0.750, 0.356], [0.594, 0.366], [0.244, 0.357], [0.399, 0.366], [0.496, 0.618]])
"""Places of the anchors in a crop whose mesh is not known, in sides of the crop: the mean of other faces."""


@dataclass(frozen=True)
class IdentityConfig:
    """Shape of an IdentityNet. `size`: side of the square chips in pixels."""

    size: int = 112


class NormedConvolution(nn.Module):
    """Convolution without padding at a stride of 2, padded otherwise, with batch norm."""

    def __init__(self, channels_in: int, channels: int, side: int = 3, stride: int = 1) -> None:
        super().__init__()
        padding = 0 if stride == 2 else side // 2
        self.conv = nn.Conv2d(channels_in, channels, side, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.as_tensor(self.norm(self.conv(x_NCHW)))


class ResidualBlock(nn.Module):
    """Two convolutions, added to the input; one that halves has its input averaged, and filled up with zeros."""

    def __init__(self, channels_in: int, channels: int, *, halves: bool) -> None:
        super().__init__()
        self.halves, self.new_channels = halves, channels - channels_in
        self.first = NormedConvolution(channels_in, channels, stride=2 if halves else 1)
        self.second = NormedConvolution(channels, channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out_NCHW = self.second(relu(self.first(x_NCHW)))
        if not self.halves:
            return relu(out_NCHW + x_NCHW)
        pooled_NCHW = avg_pool2d(x_NCHW, 2)
        missing = pooled_NCHW.shape[-1] - out_NCHW.shape[-1]
        out_NCHW = pad(out_NCHW, (0, missing, 0, missing))
        return relu(out_NCHW + pad(pooled_NCHW, (0, 0, 0, 0, 0, self.new_channels)))


class IdentityNet(nn.Module):
    """Grey chips [N, 1, size, size] in 0..1 → unit vectors [N, 128], all in one part of the space: see SAME_PERSON."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = NormedConvolution(1, _STAGES[0][0], 7, 2)
        blocks, before = [], _STAGES[0][0]
        for channels, count, halves in _STAGES:
            for number in range(count):
                blocks.append(ResidualBlock(before, channels, halves=halves and number == 0))
                before = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, IDENTITY_SIZE, bias=False)

    def features(self, chips_N1HW: Tensor) -> Tensor:
        """Return the vectors [N, 128] before they are brought to length 1."""
        x_NCHW = self.blocks(max_pool2d(relu(self.stem(chips_N1HW)), 3, 2))
        return torch.as_tensor(self.head(x_NCHW.mean((2, 3))))

    def forward(self, chips_N1HW: Tensor) -> tuple[Tensor]:
        return (normalize(self.features(chips_N1HW)),)


def identity_chip(crop_HW: NDArray[np.uint8], landmarks: NDArray[np.float32] | None, size: int) -> NDArray[np.uint8]:
    """Return the chip [size, size] of a face.

    `crop_HW`: the grey square that `align_crop` cuts, `landmarks`: mesh [468, 3] in pixels of the picture, null for a
    face without one.
    """
    side = len(crop_HW)
    points = _UPRIGHT * side if landmarks is None else points_in_crop(landmarks, side)[list(ANCHORS)]
    return chip_around(crop_HW, points, size)


def chip_around(image_HW: NDArray[np.uint8], anchors_A2: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Return the chip [size, size] of the face whose anchors are at these pixels of a grey image."""
    matrix = _similarity(anchors_A2, (_PLACES + _MARGIN) / (1 + 2 * _MARGIN) * size)
    shape, border = (size, size), cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpAffine(image_HW, matrix, shape, flags=cv2.INTER_CUBIC, borderMode=border), np.uint8)


def _similarity(source_A2: NDArray[np.float64], target_A2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix [2, 3] of the turn, growth and shift that bring points nearest to others (Umeyama 1991)."""
    source, target = source_A2 - source_A2.mean(0), target_A2 - target_A2.mean(0)
    left, spread, right = np.linalg.svd(target.T @ source)
    mirror = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * mirror) @ right
    growth = (spread * mirror).sum() / max(float((source**2).sum()), 1e-9)
    shift = target_A2.mean(0) - growth * rotation @ source_A2.mean(0)
    return np.column_stack([growth * rotation, shift])


register("face_identity", IdentityConfig, IdentityNet)

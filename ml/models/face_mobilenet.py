"""The wider face net: MobileNet (Howard et al. 2017) on grey crops, the shape of nets that tell people apart."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from ml.models.face import CropClassifier
from ml.models.registry import register

STAGES = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""Channels and stride of each separable convolution."""
STEM = 32
LEAST_DEVIATION = 0.01
"""Added to that of a crop (0..1): film stills are dark, and must not look flat for it."""


@dataclass(frozen=True)
class FaceMobileConfig:
    """`size`: side of the square crop in pixels, a multiple of 32."""

    size: int = 96
    embedding: int = 128
    dropout: float = 0.3


class Convolution(nn.Module):
    """3×3, padded below and right where it strides, as the start has it; or 1×1. Each with its norm."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int = 1, *, depthwise: bool = False) -> None:
        super().__init__()
        self.stride = stride
        groups = channels if depthwise else 1
        padding = side // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(channels_in, channels, side, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.stride > 1:
            x_NCHW = pad(x_NCHW, (0, 1, 0, 1))
        if self.conv.groups == 1:
            return relu6(self.norm(self.conv(x_NCHW)))
        with torch.autocast(x_NCHW.device.type, enabled=False):  # CPUs are slow at depthwise steps in half precision
            return relu6(self.norm(self.conv(x_NCHW.float())))


class FaceMobileNet(CropClassifier):
    """The net of separable convolutions."""

    def __init__(self, config: FaceMobileConfig) -> None:
        layers, channels = [Convolution(1, STEM, 3, 2)], STEM
        for width, stride in STAGES:
            layers += [Convolution(channels, channels, 3, stride, depthwise=True), Convolution(channels, width, 1)]
            channels = width
        super().__init__(nn.Sequential(*layers), channels, config.embedding, config.dropout, LEAST_DEVIATION)
        self.config = config

    @property
    def map_side(self) -> int:
        """Side of the backbone's last map."""
        return self.config.size // 32


register("face_mobilenet", FaceMobileConfig, FaceMobileNet)

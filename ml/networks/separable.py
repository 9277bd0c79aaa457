"""Common parts of face networks made of separable convolutions (Howard et al. 2017) on grey crops."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from ml.networks.face import CropClassifier

MIN_DEVIATION = 0.01
"""Added to the standard deviation of a crop (values 0..1); small, because film stills are dark but not flat."""
BACKBONE_STRIDE = 32
"""Sides of a crop per side of the last feature map."""


@dataclass(frozen=True)
class SeparableConfig:
    """Shape of a separable network. `size`: side of the square crop in pixels, a multiple of 32."""

    size: int = 96
    embedding: int = 128
    dropout: float = 0.3


class Convolution(nn.Module):
    """Convolution with batch norm: [N, C, H, W] → [N, channels, H / stride, W / stride].

    With a stride it is padded at the far sides first, as TensorFlow does, in which the pretrained weights were made.
    """

    def __init__(
        self, channels_in: int, channels: int, side: int, stride: int = 1, *, groups: int = 1, epsilon: float = 1e-5
    ) -> None:
        super().__init__()
        before, after = (side - stride) // 2, (side - stride + 1) // 2
        self.margins = (before, after, before, after) if before != after else None
        padding = 0 if self.margins else before
        self.conv = nn.Conv2d(channels_in, channels, side, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=epsilon)

    def convolve(self, x_NCHW: Tensor) -> Tensor:
        """Return the output of the convolution before the norm."""
        return self.conv(pad(x_NCHW, self.margins) if self.margins else x_NCHW)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.conv.groups == 1:
            return self.norm(self.convolve(x_NCHW))
        # CPUs are slow at depthwise convolutions in half precision.
        with torch.autocast(x_NCHW.device.type, enabled=False):
            return self.norm(self.convolve(x_NCHW.float()))


class ConvolutionRelu6(Convolution):
    """Convolution with batch norm and ReLU6."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return relu6(super().forward(x_NCHW))


class SeparableNet(CropClassifier):
    """Crop classifier with a backbone of separable convolutions."""

    def __init__(self, layers: Sequence[nn.Module], channels: int, config: SeparableConfig) -> None:
        """`layers`: the backbone; `channels`: those of its last feature map."""
        super().__init__(nn.Sequential(*layers), channels, config.embedding, config.dropout, MIN_DEVIATION)
        self.config = config

    @property
    def map_side(self) -> int:
        """Side of the backbone's last feature map."""
        return self.config.size // BACKBONE_STRIDE

"""Nets of separable convolutions (Howard et al. 2017) on grey crops: what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from ml.networks.face import CropClassifier

MIN_DEVIATION = 0.01
"""Added to that of a crop (0..1): film stills are dark, and must not look flat for it."""
SHRINKS = 32
"""How many times smaller than a crop the last map is."""


@dataclass(frozen=True)
class SeparableConfig:
    """`size`: side of the square crop in pixels, a multiple of 32."""

    size: int = 96
    embedding: int = 128
    dropout: float = 0.3


class Convolution(nn.Module):
    """A convolution and its norm: [N, C, H, W] → [N, channels, H / stride, W / stride].

    Where it strides it is padded at the far sides first, as TensorFlow does, in which the starts were trained.
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

    def filtered(self, x_NCHW: Tensor) -> Tensor:
        """Before the norm."""
        return self.conv(pad(x_NCHW, self.margins) if self.margins else x_NCHW)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.conv.groups == 1:
            return self.norm(self.filtered(x_NCHW))
        with torch.autocast(x_NCHW.device.type, enabled=False):  # CPUs are slow at depthwise steps in half precision
            return self.norm(self.filtered(x_NCHW.float()))


class Ramped(Convolution):
    """With a ramp that is clipped at 6."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return relu6(super().forward(x_NCHW))


class SeparableNet(CropClassifier):
    """`layers`: the backbone, whose last map has so many `channels`."""

    def __init__(self, layers: Sequence[nn.Module], channels: int, config: SeparableConfig) -> None:
        super().__init__(nn.Sequential(*layers), channels, config.embedding, config.dropout, MIN_DEVIATION)
        self.config = config

    @property
    def map_side(self) -> int:
        """Side of the backbone's last map."""
        return self.config.size // SHRINKS

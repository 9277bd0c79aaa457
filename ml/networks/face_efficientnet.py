"""The face net of inverted bottlenecks: EfficientNet-Lite0 (Tan and Le 2019, without gates) on grey crops."""

from torch import Tensor, nn
from torch.nn.functional import relu6

from ml.networks.registry import register
from ml.networks.separable import Convolution, SeparableConfig, SeparableNet

STAGES = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
"""Widening, channels, side of the depthwise kernel, stride of the first block, blocks."""
STEM, HEAD = 32, 1280
NORM_EPSILON = 1e-3
"""As the start has it."""


class Bottleneck(nn.Module):
    """Widens, filters each channel, narrows; beside a shortcut where nothing changes shape."""

    def __init__(self, channels_in: int, channels: int, widening: int, side: int, stride: int) -> None:
        super().__init__()
        wide = channels_in * widening
        self.expand = Convolution(channels_in, wide, 1, epsilon=NORM_EPSILON) if widening > 1 else None
        self.filter = Convolution(wide, wide, side, stride, groups=wide, epsilon=NORM_EPSILON)
        self.project = Convolution(wide, channels, 1, epsilon=NORM_EPSILON)
        self.keeps = stride == 1 and channels_in == channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        wide_NCHW = x_NCHW if self.expand is None else relu6(self.expand(x_NCHW))
        found_NCHW = self.project(relu6(self.filter(wide_NCHW)))
        return x_NCHW + found_NCHW if self.keeps else found_NCHW


class Ends(nn.Module):
    """The first or last convolution, with its clipped ramp."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int) -> None:
        super().__init__()
        self.layer = Convolution(channels_in, channels, side, stride, epsilon=NORM_EPSILON)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return relu6(self.layer(x_NCHW))


class FaceEfficientNet(SeparableNet):
    """The net of inverted bottlenecks."""

    def __init__(self, config: SeparableConfig) -> None:
        layers: list[nn.Module] = [Ends(1, STEM, 3, 2)]
        channels = STEM
        for widening, width, side, stride, depth in STAGES:
            for index in range(depth):
                layers.append(Bottleneck(channels, width, widening, side, stride if index == 0 else 1))
                channels = width
        layers.append(Ends(channels, HEAD, 1, 1))
        super().__init__(layers, HEAD, config)


register("face_efficientnet", SeparableConfig, FaceEfficientNet)

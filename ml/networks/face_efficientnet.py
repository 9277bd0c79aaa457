"""Face network of inverted bottlenecks: EfficientNet-Lite0 (Tan and Le 2019, without gates) on grey crops."""

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
"""For each stage: expansion, channels, side of the depthwise kernel, stride of the first block, number of blocks."""
STEM, HEAD = 32, 1280
NORM_EPSILON = 1e-3
"""Epsilon of the batch norms, as in the pretrained weights."""


class Bottleneck(nn.Module):
    """Expansion, depthwise filter and projection, with a shortcut if the shape stays the same."""

    def __init__(self, channels_in: int, channels: int, expansion: int, side: int, stride: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = Convolution(channels_in, wide, 1, epsilon=NORM_EPSILON) if expansion > 1 else None
        self.filter = Convolution(wide, wide, side, stride, groups=wide, epsilon=NORM_EPSILON)
        self.project = Convolution(wide, channels, 1, epsilon=NORM_EPSILON)
        self.keeps = stride == 1 and channels_in == channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        wide_NCHW = x_NCHW if self.expand is None else relu6(self.expand(x_NCHW))
        projected_NCHW = self.project(relu6(self.filter(wide_NCHW)))
        return x_NCHW + projected_NCHW if self.keeps else projected_NCHW


class EndConvolution(nn.Module):
    """First or last convolution, with ReLU6."""

    def __init__(self, channels_in: int, channels: int, side: int, stride: int) -> None:
        super().__init__()
        self.layer = Convolution(channels_in, channels, side, stride, epsilon=NORM_EPSILON)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return relu6(self.layer(x_NCHW))


class FaceEfficientNet(SeparableNet):
    """EfficientNet-Lite0 on grey crops."""

    def __init__(self, config: SeparableConfig) -> None:
        layers: list[nn.Module] = [EndConvolution(1, STEM, 3, 2)]
        channels = STEM
        for expansion, width, side, stride, depth in STAGES:
            for index in range(depth):
                layers.append(Bottleneck(channels, width, expansion, side, stride if index == 0 else 1))
                channels = width
        layers.append(EndConvolution(channels, HEAD, 1, 1))
        super().__init__(layers, HEAD, config)


register("face_efficientnet", SeparableConfig, FaceEfficientNet)

"""Wide face network: MobileNet (Howard et al. 2017) on grey crops, the shape of networks that identify people."""

from ml.networks.registry import register
from ml.networks.separable import ConvolutionRelu6, SeparableConfig, SeparableNet

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


class FaceMobileNet(SeparableNet):
    """MobileNet on grey crops."""

    def __init__(self, config: SeparableConfig) -> None:
        layers, channels = [ConvolutionRelu6(1, STEM, 3, 2)], STEM
        for width, stride in STAGES:
            layers += [
                ConvolutionRelu6(channels, channels, 3, stride, groups=channels),
                ConvolutionRelu6(channels, width, 1),
            ]
            channels = width
        super().__init__(layers, channels, config)


register("face_mobilenet", SeparableConfig, FaceMobileNet)

"""The wider face net: MobileNet (Howard et al. 2017) on grey crops, the shape of nets that tell people apart."""

from ml.networks.registry import register
from ml.networks.separable import Ramped, SeparableConfig, SeparableNet

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
    """The net of separable convolutions."""

    def __init__(self, config: SeparableConfig) -> None:
        layers, channels = [Ramped(1, STEM, 3, 2)], STEM
        for width, stride in STAGES:
            layers += [Ramped(channels, channels, 3, stride, groups=channels), Ramped(channels, width, 1)]
            channels = width
        super().__init__(layers, channels, config)


register("face_mobilenet", SeparableConfig, FaceMobileNet)

"""The wider face net: MobileNet (Howard et al. 2017) on grey crops, the shape of nets that tell people apart."""

from dataclasses import dataclass

from torch import nn

from ml.models.face import CropClassifier
from ml.models.registry import register
from ml.models.separable import Ramped

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


class FaceMobileNet(CropClassifier):
    """The net of separable convolutions."""

    def __init__(self, config: FaceMobileConfig) -> None:
        layers, channels = [Ramped(1, STEM, 3, 2)], STEM
        for width, stride in STAGES:
            layers += [Ramped(channels, channels, 3, stride, groups=channels), Ramped(channels, width, 1)]
            channels = width
        super().__init__(nn.Sequential(*layers), channels, config.embedding, config.dropout, LEAST_DEVIATION)
        self.config = config

    @property
    def map_side(self) -> int:
        """Side of the backbone's last map."""
        return self.config.size // 32


register("face_mobilenet", FaceMobileConfig, FaceMobileNet)

"""Compact face network: a residual CNN with squeeze-and-excitation (He et al. 2016, Hu et al. 2018) on grey crops."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ml.networks.registry import register
from ml.vocabulary import EMOTIONS

MIN_DEVIATION = 0.05
"""Added to the standard deviation of a crop (values 0..1)."""


@dataclass(frozen=True)
class FaceConfig:
    """Shape of a FaceNet. `size`: side of the crop in pixels. `widths`, `depths`: channels and blocks of each stage."""

    size: int = 48
    widths: tuple[int, ...] = (32, 64, 128, 192)
    depths: tuple[int, ...] = (1, 2, 2, 1)
    embedding: int = 128
    dropout: float = 0.2


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW * self.gate(x_NCHW.mean(dim=(2, 3)))[:, :, None, None]


class Block(nn.Module):
    """Two 3×3 convolutions and a gate, with a shortcut."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return relu(self.body(x_NCHW) + self.shortcut(x_NCHW))


class CropClassifier(nn.Module):
    """Grey crops [N, 1, size, size] in 0..1 → (embeddings [N, E], logits [N, 7]).

    Each crop is standardized; `min_deviation` is added to its deviation, so that noise in a flat crop stays small.
    """

    def __init__(
        self, backbone: nn.Sequential, channels: int, embedding: int, dropout: float, min_deviation: float
    ) -> None:
        super().__init__()
        self.channels, self.min_deviation = channels, min_deviation
        self.backbone = backbone
        self.embed = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels, embedding, bias=False),
            nn.BatchNorm1d(embedding),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding, len(EMOTIONS)))

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.classify(self.pool(crops_NCHW))

    def pool(self, crops_NCHW: Tensor) -> Tensor:
        """Return the mean of the backbone's last feature map: [N, channels]."""
        mean_N = crops_NCHW.mean(dim=(1, 2, 3), keepdim=True)
        deviation_N = crops_NCHW.std(dim=(1, 2, 3), keepdim=True)
        features_NCHW = self.backbone((crops_NCHW - mean_N) / (deviation_N + self.min_deviation))
        return features_NCHW.float().mean(dim=(2, 3))

    def classify(self, pooled_NF: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and the logits of pooled features."""
        embeddings_NE = self.embed(pooled_NF)
        return embeddings_NE, self.head(embeddings_NE)


class FaceNet(CropClassifier):
    """Compact network of residual blocks."""

    def __init__(self, config: FaceConfig) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(1, config.widths[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(config.widths[0]),
            nn.ReLU(inplace=True),
        ]
        channels = config.widths[0]
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for index in range(depth):
                layers.append(Block(channels, width, 2 if stage and index == 0 else 1))
                channels = width
        super().__init__(nn.Sequential(*layers), channels, config.embedding, config.dropout, MIN_DEVIATION)
        self.config = config

    @property
    def map_side(self) -> int:
        """Side of the backbone's last feature map."""
        return self.config.size // 2 ** (len(self.config.widths) - 1)


@dataclass(frozen=True)
class CropView:
    """View of a crop for test-time augmentation: the middle `share` of each side, `mirrored` or not."""

    share: float = 1.0
    mirrored: bool = False


PLAIN, MIRRORED = CropView(), CropView(mirrored=True)


def predict_with_flip_tta(
    network: nn.Module, crops_NCHW: Tensor, points_NP3: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean embeddings and logits of the crops and their mirror images.

    `points_NP3`: for networks that also take points. An ensemble that chooses the views of its members is called with
    the crops alone.
    """
    if getattr(network, "chooses_views", False):
        return network(crops_NCHW)
    both = torch.cat([crops_NCHW, crops_NCHW.flip(-1)])
    embeddings, logits = network(both) if points_NP3 is None else network(both, points_NP3.repeat(2, 1, 1))
    return embeddings.unflatten(0, (2, -1)).mean(0), logits.unflatten(0, (2, -1)).mean(0)


register("face_senet", FaceConfig, FaceNet)

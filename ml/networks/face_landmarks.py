"""Face network with a second branch that reads the points of the mesh."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ml.networks.crops import LANDMARKS
from ml.networks.registry import build, register
from ml.vocabulary import EMOTIONS


@dataclass(frozen=True)
class FaceLandmarkConfig:
    """Shape of a FaceLandmarkNet.

    `crop`: `{"architecture", "config"}` of the network that reads the crop, of side `size` in pixels. `hidden`,
    `branch`: sizes of the layers on the points. `embedding`: that of the crop's network plus `branch`.
    """

    crop: dict[str, Any]
    size: int
    embedding: int
    hidden: int = 128
    branch: int = 64
    dropout: float = 0.3


class FaceLandmarkNet(nn.Module):
    """Grey crops [N, 1, size, size] in 0..1 and normalised points [N, 468, 3] → (embeddings [N, E], logits [N, 7]).

    A face without points (all zeros, or null for all faces) is read by its crop alone.
    """

    def __init__(self, config: FaceLandmarkConfig) -> None:
        super().__init__()
        self.config = config
        self.crop = build(config.crop["architecture"], config.crop["config"])
        self.branch = nn.Sequential(
            nn.BatchNorm1d(3 * LANDMARKS),
            nn.Linear(3 * LANDMARKS, config.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.branch),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(config.branch, len(EMOTIONS), bias=False)

    @property
    def backbone(self) -> nn.Module:
        """Backbone of the network that reads the crop."""
        return cast(nn.Module, self.crop.backbone)

    def forward(self, crops_NCHW: Tensor, points_NP3: Tensor | None = None) -> tuple[Tensor, Tensor]:
        embeddings_NE, logits_NC = self.crop(crops_NCHW)
        if points_NP3 is None:
            points_NP3 = torch.zeros(len(crops_NCHW), LANDMARKS, 3, device=crops_NCHW.device)
        has_points_N1 = (points_NP3 != 0).flatten(1).any(dim=1, keepdim=True)
        branch_NB = self.branch(points_NP3.flatten(1).float()).float() * has_points_N1
        return torch.cat([embeddings_NE, branch_NB], dim=1), logits_NC + self.head(branch_NB)


def landmark_config(architecture: str, config: dict[str, Any]) -> FaceLandmarkConfig:
    """Return the configuration of a network of this architecture with a branch for points."""
    crop = {"architecture": architecture, "config": config}
    return FaceLandmarkConfig(crop, config["size"], config["embedding"] + FaceLandmarkConfig.branch)


register("face_landmarks", FaceLandmarkConfig, FaceLandmarkNet)

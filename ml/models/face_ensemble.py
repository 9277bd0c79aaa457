"""Several face nets as one: the mean of their logits, their embeddings side by side."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ml.models.registry import build, register


@dataclass(frozen=True)
class FaceEnsembleConfig:
    """`members`: `{"architecture", "config"}` of each net. `size`: side
    of the square crop in pixels, which each net is given at its own size."""

    members: tuple[dict[str, Any], ...]
    size: int
    embedding: int


class FaceEnsemble(nn.Module):
    """Grey crops [N, 1, size, size] in 0..1 → (embeddings [N, E], logits [N, 7])."""

    def __init__(self, config: FaceEnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(build(member["architecture"], member["config"]) for member in config.members)

    @property
    def backbone(self) -> nn.Module:
        """That of the member with the finest last map: explanations look into it."""
        finest: Any = max(self.members, key=lambda member: cast(Any, member).map_side)
        return cast(nn.Module, finest.backbone)

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        found = [member(_sized(crops_NCHW, cast(Any, member).config.size)) for member in self.members]
        embeddings, logits = zip(*found, strict=True)
        return torch.cat(embeddings, dim=1), torch.stack(logits).mean(0)


Member = tuple[str, dict[str, Any], nn.Module]
"""Architecture, configuration and trained net."""


def ensemble_of(members: list[Member]) -> FaceEnsemble:
    configs = [config for _, config, _ in members]
    ensemble = FaceEnsemble(
        FaceEnsembleConfig(
            members=tuple({"architecture": architecture, "config": config} for architecture, config, _ in members),
            size=max(config["size"] for config in configs),
            embedding=sum(config["embedding"] for config in configs),
        )
    )
    ensemble.members = nn.ModuleList(network for _, _, network in members)
    return ensemble.eval()


def _sized(crops_NCHW: Tensor, size: int) -> Tensor:
    if crops_NCHW.shape[-1] == size:
        return crops_NCHW
    return interpolate(crops_NCHW, size=(size, size), mode="bilinear", antialias=True)


register("face_ensemble", FaceEnsembleConfig, FaceEnsemble)

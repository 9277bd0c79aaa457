"""Several face nets as one: the mean of their logits, their embeddings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml.models.registry import build, register

View = Literal["plain", "mirrored", "both"]
"""What a net is given of a face: the crop, its mirror image, or one after the other."""
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True)
class FaceEnsembleConfig:
    """`members`: `{"architecture", "config"}` of each net. `size`: side of the square crop in pixels, which each net is
    given at its own size. `views`: what each net is given; where it is not told, the ensemble is called with both."""

    members: tuple[dict[str, Any], ...]
    size: int
    embedding: int
    views: tuple[View, ...] = ()


class FaceEnsemble(nn.Module):
    """Grey crops [N, 1, size, size] in 0..1 → (embeddings [N, E], logits [N, 7]). Each view has one voice."""

    def __init__(self, config: FaceEnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(build(member["architecture"], member["config"]) for member in config.members)

    @property
    def backbone(self) -> nn.Module:
        """That of the member with the finest last map, among those that see the crop as it is: explanations show it."""
        seen = [member for member, view in self._given() if view != "mirrored"]
        return cast(nn.Module, max(seen, key=lambda member: member.map_side).backbone)

    @property
    def chooses_views(self) -> bool:
        return bool(self.config.views)

    def _given(self) -> list[tuple[Any, View]]:
        return list(zip(self.members, self.config.views or ["plain"] * len(self.members), strict=True))

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embeddings, logits = [], []
        for member, view in self._given():
            crops = _sized(crops_NCHW, member.config.size)
            given = {"plain": (crops,), "mirrored": (crops.flip(-1),), "both": (crops, crops.flip(-1))}[view]
            embedding, answer = member(torch.cat(given))
            embeddings.append(embedding.unflatten(0, (len(given), -1)).mean(0))
            logits.append(answer.unflatten(0, (len(given), -1)))
        return torch.cat(embeddings, dim=1), torch.cat(logits).mean(0)


Member = tuple[str, dict[str, Any], nn.Module]
"""Architecture, configuration and trained net."""


def ensemble_of(members: list[Member], views: Sequence[View] = ()) -> FaceEnsemble:
    configs = [config for _, config, _ in members]
    ensemble = FaceEnsemble(
        FaceEnsembleConfig(
            members=tuple({"architecture": architecture, "config": config} for architecture, config, _ in members),
            size=max(config["size"] for config in configs),
            embedding=sum(config["embedding"] for config in configs),
            views=tuple(views),
        )
    )
    ensemble.members = nn.ModuleList(network for _, _, network in members)
    return ensemble.eval()


def _sized(crops_NCHW: Tensor, size: int) -> Tensor:
    """The crops at `size` pixels: along each side, a product with the weights of its resampling."""
    side = int(crops_NCHW.shape[-1])
    if side == size:
        return crops_NCHW
    weights_SH = torch.from_numpy(_resampling(side, size)).to(crops_NCHW.device)
    with torch.autocast(crops_NCHW.device.type, enabled=False):  # pixels keep their digits
        return weights_SH @ crops_NCHW.float() @ weights_SH.T


@cache
def _resampling(side: int, size: int) -> NDArray[np.float32]:
    """Weights [size, side] of linear interpolation that averages where it makes smaller: torch's `interpolate` with
    `antialias`, which graphs of ONNX do not know."""
    scale = side / size
    reach = max(scale, 1.0)
    centres = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centres) / reach)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


register("face_ensemble", FaceEnsembleConfig, FaceEnsemble)

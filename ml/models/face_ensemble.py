"""Several face nets as one: the mean of their logits, their embeddings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

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
            embeddings.append(torch.stack(embedding.split(len(crops))).mean(0))
            logits += answer.split(len(crops))
        return torch.cat(embeddings, dim=1), torch.stack(logits).mean(0)


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
    if crops_NCHW.shape[-1] == size:
        return crops_NCHW
    return interpolate(crops_NCHW, size=(size, size), mode="bilinear", antialias=True)


register("face_ensemble", FaceEnsembleConfig, FaceEnsemble)

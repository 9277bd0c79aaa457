"""Several face nets as one: the mean of their logits, their embeddings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ml.networks.face import MIRRORED, PLAIN, CropView
from ml.networks.registry import build, register

View = Literal["plain", "mirrored", "both", "closer"]
"""What a net is given of a face: the crop, its mirror image, both, or the crop and the mirror image seen closer."""
VIEWS: tuple[View, ...] = get_args(View)
CROP_VIEWS: dict[View, tuple[CropView, ...]] = {
    "plain": (PLAIN,),
    "mirrored": (MIRRORED,),
    "both": (PLAIN, MIRRORED),
    "closer": (PLAIN, CropView(share=0.9, mirrored=True)),
}


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
        return cast(nn.Module, self._explained[0].backbone)

    @property
    def explained_views(self) -> tuple[CropView, ...]:
        """What the member that explanations show is given."""
        return self._explained[1]

    @property
    def chooses_views(self) -> bool:
        return bool(self.config.views)

    @property
    def _explained(self) -> tuple[Any, tuple[CropView, ...]]:
        seen = [(member, looks) for member, looks in self._given() if PLAIN in looks]
        return max(seen, key=lambda pair: pair[0].map_side)

    def _given(self) -> list[tuple[Any, tuple[CropView, ...]]]:
        views: Sequence[View] = self.config.views or ["plain"] * len(self.members)
        return [(member, CROP_VIEWS[view]) for member, view in zip(self.members, views, strict=True)]

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embeddings, logits = [], []
        for member, looks in self._given():
            given = [_seen(crops_NCHW, member.config.size, look) for look in looks]
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


def _seen(crops_NCHW: Tensor, size: int, look: CropView) -> Tensor:
    sized_NCHW = _sized(crops_NCHW, size, look.share)
    return sized_NCHW.flip(-1) if look.mirrored else sized_NCHW


def _sized(crops_NCHW: Tensor, size: int, share: float) -> Tensor:
    """The middle of the crops at `size` pixels: along each side, a product with the weights of its resampling."""
    side = int(crops_NCHW.shape[-1])
    if side == size and share == 1:
        return crops_NCHW
    weights_SH = _resampling(side, size, share, crops_NCHW.device)
    with torch.autocast(crops_NCHW.device.type, enabled=False):  # pixels keep their digits
        return weights_SH @ crops_NCHW.float() @ weights_SH.T


@cache
def _resampling(side: int, size: int, share: float, device: torch.device) -> Tensor:
    """Weights [size, side] of linear interpolation that averages where it makes smaller: torch's `interpolate` with
    `antialias`, which graphs of ONNX do not know. `share`: how much of the side is shown. Kept on the device: a CUDA
    graph cannot be recorded over a copy from the CPU."""
    scale = share * side / size
    reach = max(scale, 1.0)
    centres = (1 - share) / 2 * side + (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centres) / reach)
    with torch.inference_mode(False):
        return torch.tensor(weights / weights.sum(1, keepdims=True), dtype=torch.float32, device=device)


register("face_ensemble", FaceEnsembleConfig, FaceEnsemble)

"""Ensemble of face networks: the mean of their logits, and their embeddings concatenated."""

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
"""Input of a member: the crop, its mirror image, both, or the crop and a closer view of its mirror image."""
VIEWS: tuple[View, ...] = get_args(View)
CROP_VIEWS: dict[View, tuple[CropView, ...]] = {
    "plain": (PLAIN,),
    "mirrored": (MIRRORED,),
    "both": (PLAIN, MIRRORED),
    "closer": (PLAIN, CropView(share=0.9, mirrored=True)),
}


@dataclass(frozen=True)
class FaceEnsembleConfig:
    """Shape of an ensemble.

    `members`: `{"architecture", "config"}` of each network. `size`: side of the square crop in pixels; each member gets
    it at its own size. `views`: view of each member; if empty, the caller passes both views.
    """

    members: tuple[dict[str, Any], ...]
    size: int
    embedding: int
    views: tuple[View, ...] = ()


class FaceEnsemble(nn.Module):
    """Grey crops [N, 1, size, size] in 0..1 → (embeddings [N, E], logits [N, 7]). Each view has the same weight."""

    def __init__(self, config: FaceEnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(build(member["architecture"], member["config"]) for member in config.members)

    @property
    def backbone(self) -> nn.Module:
        """Backbone that explanations show: of the members with a plain view, that with the finest last map."""
        return cast(nn.Module, self._explained[0].backbone)

    @property
    def explained_views(self) -> tuple[CropView, ...]:
        """Views of the member that explanations show."""
        return self._explained[1]

    @property
    def chooses_views(self) -> bool:
        """Whether the ensemble chooses the views of its members, so that callers pass the crop alone."""
        return bool(self.config.views)

    @property
    def _explained(self) -> tuple[Any, tuple[CropView, ...]]:
        plain = [(member, crops) for member, crops in self._members_with_views() if PLAIN in crops]
        return max(plain, key=lambda pair: pair[0].map_side)

    def _members_with_views(self) -> list[tuple[Any, tuple[CropView, ...]]]:
        views: Sequence[View] = self.config.views or ["plain"] * len(self.members)
        return [(member, CROP_VIEWS[view]) for member, view in zip(self.members, views, strict=True)]

    def forward(self, crops_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        embeddings, logits = [], []
        for member, views in self._members_with_views():
            inputs = [_view_of(crops_NCHW, member.config.size, view) for view in views]
            embedding, own_logits = member(torch.cat(inputs))
            embeddings.append(embedding.unflatten(0, (len(inputs), -1)).mean(0))
            logits.append(own_logits.unflatten(0, (len(inputs), -1)))
        return torch.cat(embeddings, dim=1), torch.cat(logits).mean(0)

    def pool(self, crops_NCHW: Tensor) -> Tensor:
        """Return the pooled features of all members side by side: [N, channels of all].

        Each member gets its first view. Raises ValueError if a member has several.
        """
        if self.chooses_views and any(len(views) > 1 for _, views in self._members_with_views()):
            raise ValueError("a member with several views has no single row of features")
        inputs = [
            (member, _view_of(crops_NCHW, member.config.size, views[0])) for member, views in self._members_with_views()
        ]
        return torch.cat([member.pool(crops) for member, crops in inputs], dim=1)

    def classify(self, pooled_NF: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings and the logits of features that `pool` returned."""
        members: list[Any] = list(self.members)
        parts = pooled_NF.split([member.channels for member in members], dim=1)
        outputs = [member.classify(part) for member, part in zip(members, parts, strict=True)]
        embeddings, logits = zip(*outputs, strict=True)
        return torch.cat(embeddings, dim=1), torch.stack(logits).mean(0)


EnsembleMember = tuple[str, dict[str, Any], nn.Module]
"""Architecture, configuration and trained network."""


def build_ensemble(members: list[EnsembleMember], views: Sequence[View] = ()) -> FaceEnsemble:
    """Return the ensemble of trained networks, in eval mode. `views`: view of each."""
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


def _view_of(crops_NCHW: Tensor, size: int, view: CropView) -> Tensor:
    resized_NCHW = _resize_middle(crops_NCHW, size, view.share)
    return resized_NCHW.flip(-1) if view.mirrored else resized_NCHW


def _resize_middle(crops_NCHW: Tensor, size: int, share: float) -> Tensor:
    """Return the middle of the crops at `size` pixels, by a product with resampling weights along each side."""
    side = int(crops_NCHW.shape[-1])
    if side == size and share == 1:
        return crops_NCHW
    weights_SH = _resampling_weights(side, size, share, crops_NCHW.device)
    with torch.autocast(crops_NCHW.device.type, enabled=False):  # pixels keep full precision
        return weights_SH @ crops_NCHW.float() @ weights_SH.T


@cache
def _resampling_weights(side: int, size: int, share: float, device: torch.device) -> Tensor:
    """Return weights [size, side] of linear interpolation that averages when it shrinks.

    This is torch's `interpolate` with `antialias`, which ONNX does not have. `share`: part of the side that is shown.
    The cache is on the device, because a CUDA graph cannot be captured over a copy from the CPU.
    """
    scale = share * side / size
    reach = max(scale, 1.0)
    centres = (1 - share) / 2 * side + (np.arange(size)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centres) / reach)
    with torch.inference_mode(False):
        return torch.tensor(weights / weights.sum(1, keepdims=True), dtype=torch.float32, device=device)


register("face_ensemble", FaceEnsembleConfig, FaceEnsemble)

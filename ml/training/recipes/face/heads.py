"""Tuning of the embedding and head layers of a trained face network, whose backbones stay as they are.

The features of all crops are computed once and kept, so that a pass over them takes seconds. Outputs of a network with
new heads cost what they cost before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.errors import InvalidManifest
from ml.networks import build
from ml.networks.face import CropClassifier
from ml.networks.face_ensemble import FaceEnsemble
from ml.registry import ModelStore
from ml.training.datasets.cache import digest, file_state, replacing
from ml.training.loop import averaged_weights, run_settings
from ml.training.recipes.face.config import FaceTrainConfig
from ml.training.recipes.face.data import FaceData

HEADS = "heads"
POOL_BATCH_SIZE = 128
"""Crops per forward pass of the backbones."""
LABEL_SMOOTHING = 0.05


class PooledClassifier(Protocol):
    """Face network whose backbone and classifier can be called one after the other."""

    config: Any

    def pool(self, crops_NCHW: Tensor) -> Tensor:
        """Return pooled features [N, F] of grey crops in 0..1."""

    def classify(self, pooled_NF: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings [N, E] and logits [N, 7]."""


@dataclass(frozen=True)
class HeadBatch:
    pooled_NF: Tensor
    targets_NC: Tensor
    offsets_NC: Tensor
    weights_N: Tensor


def open_start(config: FaceTrainConfig) -> tuple[str, nn.Module]:
    """Return the architecture and the whole network that `--start` names, an ensemble too.

    Raises InvalidManifest without `--start`, or if its backbone and heads cannot be called apart.
    """
    if config.start is None:
        raise InvalidManifest("--tune heads needs --start: the network whose heads are tuned")
    if Path(config.start).is_dir():
        settings = run_settings(Path(config.start))
        architecture, network = settings["architecture"], build(settings["architecture"], settings["config"])
        network.load_state_dict(averaged_weights(Path(config.start)))
    else:
        store = ModelStore(config.store)
        architecture, network = store.manifest(config.start).architecture, store.network(config.start)
    if not isinstance(network, CropClassifier | FaceEnsemble):
        raise InvalidManifest(f"--tune heads: {architecture} has no heads apart from its backbone")
    return architecture, network


def freeze_backbones(network: nn.Module) -> None:
    """Leave only the embedding and head layers trainable."""
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, CropClassifier):
            module.embed.requires_grad_(True)
            module.head.requires_grad_(True)


def pooled_features(network: nn.Module, faces: FaceData, config: FaceTrainConfig) -> Tensor:
    """Return the features [N, F] of the crops as they are, computed or loaded from a file in the cache folder."""
    files = [file_state(example.path) for example in faces.examples]
    path = config.cache / f"face-features-{digest(config.start, faces.crops.shape[-1], files)}.npy"
    if not path.exists():
        pooled = _compute(network, faces.crops).half().numpy()
        with replacing(path) as staging:
            np.save(staging, pooled)
    return torch.from_numpy(np.load(path)).float()


@torch.inference_mode()
def _compute(network: nn.Module, crops_NHW: Tensor) -> Tensor:
    parts, classifier = [], cast(PooledClassifier, network.eval())
    for part_NHW in crops_NHW.split(POOL_BATCH_SIZE):
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(classifier.pool(part_NHW.unsqueeze(1).float() / 255).float())
    return torch.cat(parts)


def head_batches(pooled_NF: Tensor, faces: FaceData, config: FaceTrainConfig) -> Iterator[HeadBatch]:
    """Yield one epoch of batches in random order."""
    order, size = torch.randperm(len(pooled_NF)), config.batch_size
    for first in range(0, len(order) - size + 1, size):
        rows = order[first : first + size]
        yield HeadBatch(pooled_NF[rows], faces.targets[rows], faces.offsets[rows], faces.weights[rows])


def head_loss(model: nn.Module, batch: HeadBatch) -> Tensor:
    """Return the loss of a batch. Norms keep the statistics of the start."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    _, logits = cast(PooledClassifier, model).classify(batch.pooled_NF)
    losses_N = cross_entropy(
        logits + batch.offsets_NC, batch.targets_NC, label_smoothing=LABEL_SMOOTHING, reduction="none"
    )
    return (losses_N * batch.weights_N).mean()


@torch.inference_mode()
def head_logits(model: nn.Module, pooled_NF: Tensor) -> Tensor:
    return torch.cat([cast(PooledClassifier, model).classify(part)[1] for part in pooled_NF.split(4096)])

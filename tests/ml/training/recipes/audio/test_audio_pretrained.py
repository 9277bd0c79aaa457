import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ml.errors import InvalidManifest
from ml.networks.audio import SpeechEncoder, SpeechEncoderConfig
from ml.training.recipes.audio.pretrained import load_start, read_arrays

CONFIG = SpeechEncoderConfig(hidden=8, layers=1, heads=2, intermediate=16, embedding=4)
H, F = CONFIG.hidden, CONFIG.intermediate
SHAPES = {
    "encoder/conv1/weight": (H, CONFIG.mels, 3),
    "encoder/conv1/bias": (H,),
    "encoder/conv2/weight": (H, H, 3),
    "encoder/conv2/bias": (H,),
    "encoder/layer_norm/gamma": (H,),
    "encoder/layer_norm/beta": (H,),
    "encoder/layer_0/self_attention/layer_norm/gamma": (H,),
    "encoder/layer_0/self_attention/layer_norm/beta": (H,),
    "encoder/layer_0/self_attention/linear_0/weight": (3 * H, H),
    "encoder/layer_0/self_attention/linear_0/bias": (3 * H,),
    "encoder/layer_0/self_attention/linear_1/weight": (H, H),
    "encoder/layer_0/self_attention/linear_1/bias": (H,),
    "encoder/layer_0/ffn/layer_norm/gamma": (H,),
    "encoder/layer_0/ffn/layer_norm/beta": (H,),
    "encoder/layer_0/ffn/linear_0/weight": (F, H),
    "encoder/layer_0/ffn/linear_0/bias": (F,),
    "encoder/layer_0/ffn/linear_1/weight": (H, F),
    "encoder/layer_0/ffn/linear_1/bias": (H,),
}


def _text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def _written(path: Path, arrays: dict[str, np.ndarray], spec: str = "WhisperSpec") -> Path:
    content = struct.pack("<I", 6) + _text(spec) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        raw = array.astype(np.float16).tobytes()
        content += _text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        content += struct.pack("<BI", 4, len(raw)) + raw
    path.write_bytes(content)
    return path


def _arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape) for name, shape in SHAPES.items()}


def test_load_start_seats_every_array(tmp_path: Path) -> None:
    network = SpeechEncoder(CONFIG)
    arrays = _arrays()
    load_start(network, read_arrays([_written(tmp_path / "model.bin", arrays)]))
    expected = torch.from_numpy(arrays["encoder/layer_0/self_attention/linear_0/weight"].astype(np.float16)).float()
    assert torch.equal(network.blocks[0].self_attn.in_proj_weight, expected)
    assert torch.equal(
        network.conv2.weight, torch.from_numpy(arrays["encoder/conv2/weight"].astype(np.float16)).float()
    )


def test_load_start_missing_array_or_other_model_is_refused(tmp_path: Path) -> None:
    arrays = _arrays()
    del arrays["encoder/layer_0/ffn/linear_1/bias"]
    with pytest.raises(KeyError, match="linear_1/bias"):
        load_start(SpeechEncoder(CONFIG), read_arrays([_written(tmp_path / "model.bin", arrays)]))
    with pytest.raises(InvalidManifest, match="not a Whisper model"):
        read_arrays([_written(tmp_path / "other.bin", {}, spec="TransformerSpec")])

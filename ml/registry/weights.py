"""Weight files of the store. Only this module and `ml.inference.runtime.sessions` know their format: safetensors."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save_file

from ml.errors import ModelStoreError

WEIGHTS_FILE = "weights.safetensors"
MAX_WEIGHT_BYTES = 48 * 2**20
"""Maximum bytes of a weight file that was trained here."""


def read_weights(folder: Path, sha256: str, reference: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a version, floating-point ones as float32.

    Raises ModelStoreError if the file cannot be read or does not have this sha256.
    """
    try:
        content = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise ModelStoreError(f"the weights of {reference} cannot be read") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelStoreError(f"the weights of {reference} are damaged: their sha256 is not the manifest's")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(content).items()}


def write_weights(folder: Path, weights: Mapping[str, torch.Tensor], name: str, max_bytes: int | None) -> str:
    """Write the tensors of the model `name`, floating-point ones as float16, and return the sha256 of the file.

    Raises ModelStoreError if the file is larger than `max_bytes`.
    """
    path = folder / WEIGHTS_FILE
    stored = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in ((key, tensor.detach().cpu()) for key, tensor in weights.items())
    }
    save_file(stored, path)
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise ModelStoreError(f"the weights of {name} are larger than {max_bytes >> 20} MiB")
    path.chmod(0o644)  # safetensors creates it readable by its owner alone
    return hashlib.sha256(path.read_bytes()).hexdigest()

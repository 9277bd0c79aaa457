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
SCALE_SUFFIX = ":scale"
"""Ending of the name of a tensor [rows] that an int8 matrix of the same name is multiplied by, row by row."""
_INT8_MAX = 127


def read_weights(folder: Path, sha256: str, reference: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a version, floating-point ones and those stored in 8 bits as float32.

    Raises ModelStoreError if the file cannot be read or does not have this sha256.
    """
    try:
        content = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise ModelStoreError(f"the weights of {reference} cannot be read") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelStoreError(f"the weights of {reference} are damaged: their sha256 is not the manifest's")
    return from_stored(load(content))


def write_weights(
    folder: Path, weights: Mapping[str, torch.Tensor], name: str, max_bytes: int | None, *, int8: bool = False
) -> str:
    """Write the tensors of the model `name`, see `to_stored`, and return the sha256 of the file.

    Raises ModelStoreError if the file is larger than `max_bytes`.
    """
    path = folder / WEIGHTS_FILE
    save_file(to_stored(weights, int8=int8), path)
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise ModelStoreError(f"the weights of {name} are larger than {max_bytes >> 20} MiB")
    path.chmod(0o644)  # safetensors creates it readable by its owner alone
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to_stored(weights: Mapping[str, torch.Tensor], *, int8: bool) -> dict[str, torch.Tensor]:
    """Return the tensors as they are stored: floating-point ones as float16, or matrices and kernels in 8 bits with
    `int8`.

    Each row of a matrix in 8 bits, and each filter, has a scale of its own, its largest absolute value divided by 127.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in ((name, tensor.detach().cpu()) for name, tensor in weights.items()):
        if int8 and tensor.is_floating_point() and tensor.ndim >= 2:
            rows_RC = tensor.float().flatten(1)
            scales_R = (rows_RC.abs().amax(1) / _INT8_MAX).clamp_min(torch.finfo(torch.float32).tiny)
            rounded_RC = (rows_RC / scales_R[:, None]).round().clamp(-_INT8_MAX, _INT8_MAX)
            stored[name], stored[name + SCALE_SUFFIX] = rounded_RC.to(torch.int8).view(tensor.shape), scales_R
        else:
            stored[name] = (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
    return stored


def from_stored(stored: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors that `to_stored` was given, as far as its types are exact."""
    weights = {}
    for name, tensor in stored.items():
        scales_R = stored.get(name + SCALE_SUFFIX)
        if scales_R is not None:
            weights[name] = (tensor.float().flatten(1) * scales_R[:, None]).view(tensor.shape)
        elif not name.endswith(SCALE_SUFFIX):
            weights[name] = tensor.float() if tensor.is_floating_point() else tensor
    return weights

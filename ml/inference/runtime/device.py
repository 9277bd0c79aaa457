"""Devices of the networks. On a GPU they run in half precision and read from pinned memory.

On a CPU neither happens: outputs would then depend on the CPU's instruction set.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a GPU runs in bf16, or fp16 if it lacks that; a CPU runs unchanged."""
    if device.type != "cuda":
        return nullcontext()
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", dtype, cache_enabled=False)  # captured graphs would outlive cached weights


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to the device, without waiting for a GPU to fetch it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

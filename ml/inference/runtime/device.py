"""Devices of the networks. On a GPU they run in half precision and read from pinned memory.

On a CPU neither happens: outputs would then depend on the CPU's instruction set.
"""

import re
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from ml.errors import ModelStoreError

MAX_REASON_LETTERS = 400
_GPU_WORDS = re.compile(r"\b(CUDA|cuDNN|cuBLAS|CUBLAS|NVIDIA|GPU)")
"""Words of PyTorch's and CTranslate2's messages about a GPU; their errors are plain RuntimeErrors."""


def working_device(name: str) -> torch.device:
    """Return the device called `name`, once a GPU has done a small computation.

    Raises ModelStoreError with PyTorch's reason if there is no such device or it does not work.
    """
    try:
        device = torch.device(name)
        if device.type != "cpu":
            torch.zeros(1, device=device).add_(1).cpu()
    except (RuntimeError, AssertionError) as error:  # the latter from a PyTorch without CUDA
        raise ModelStoreError(f"the device {name} does not work: {one_line(error)}") from error
    return device


def gpu_reason(error: Exception) -> str | None:
    """Return the reason that an error of a GPU gives, such as too little memory, in one line; None for other errors."""
    is_gpu = isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError)
    if is_gpu or (isinstance(error, RuntimeError) and _GPU_WORDS.search(str(error))):
        return f"the GPU does not work: {one_line(error)}"
    return None


def one_line(error: Exception) -> str:
    """Return the message of an error without line breaks, shortened."""
    text = " ".join(str(error).split()).rstrip(".")
    return text if len(text) <= MAX_REASON_LETTERS else text[: MAX_REASON_LETTERS - 1] + "…"


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which a GPU runs in bf16, or fp16 if it lacks that; a CPU runs unchanged."""
    if device.type != "cuda":
        return nullcontext()
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", dtype, cache_enabled=False)  # captured graphs would outlive cached weights


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to the device, without waiting for a GPU to fetch it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

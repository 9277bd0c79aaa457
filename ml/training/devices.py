"""Device of training: the GPU if there is one; results are moved to the CPU."""

import copy
import time
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ml.inference.runtime.device import to_device


def batch_to_device(batch: Any, device: torch.device) -> Any:
    """Return the batch on the device: a tensor, or a dataclass or tuple of batches. Other values stay as they are."""
    if isinstance(batch, Tensor):
        return to_device(batch, device)
    if is_dataclass(batch) and not isinstance(batch, type):
        return replace(
            batch, **{field.name: batch_to_device(getattr(batch, field.name), device) for field in fields(batch)}
        )
    if isinstance(batch, tuple):
        parts = [batch_to_device(part, device) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    return batch


def on_cpu(model: nn.Module) -> nn.Module:
    """Return the model itself if it is on the CPU, else a copy there."""
    return model if next(model.parameters()).device.type == "cpu" else copy.deepcopy(model).cpu()


def bf16_is_faster(device: torch.device) -> bool:
    """Return whether bf16 autocast is faster.

    It is on a GPU that supports it, and on a CPU if a convolution, forward and backward, is at least a fifth faster.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)

    def seconds(enabled: bool) -> float:
        torch.manual_seed(0)
        layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = torch.randn(16, 64, 24, 24).to(memory_format=torch.channels_last)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                layer(images).float().square().mean().backward()
            times.append(time.perf_counter() - start)
        return min(times)

    return seconds(True) < 0.8 * seconds(False)

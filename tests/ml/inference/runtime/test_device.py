"""Errors of a GPU in words of one line. No GPU is needed: PyTorch's messages are given."""

from typing import Any

import pytest
import torch

from ml.errors import ModelStoreError
from ml.inference.pipeline.bundle import pick_device
from ml.inference.runtime.device import MAX_REASON_LETTERS, gpu_reason

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040).\n Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
NO_DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver"
NO_MEMORY = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 1.00 GiB"


@pytest.mark.parametrize("message", [TOO_OLD, NO_DRIVER, "No CUDA GPUs are available", NO_MEMORY])
def test_device_that_does_not_work_states_the_reason_of_torch(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(ModelStoreError) as caught:
        pick_device("cuda")
    assert caught.value.message == f"the device cuda does not work: {' '.join(message.split())}"


def test_device_of_a_torch_without_cuda_or_of_no_known_name_is_refused() -> None:
    if not torch.backends.cuda.is_built():
        with pytest.raises(ModelStoreError, match="the device cuda does not work: Torch not compiled with CUDA"):
            pick_device("cuda")
    with pytest.raises(ModelStoreError, match="the device gpu does not work"):
        pick_device("gpu")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError(NO_MEMORY), f"the GPU does not work: {NO_MEMORY}"),
        (
            RuntimeError("CUDA failed with error out of memory."),
            "the GPU does not work: CUDA failed with error out of memory",
        ),
        (RuntimeError("size mismatch for weight"), None),
        (ValueError("CUDA"), None),
    ],
)
def test_gpu_reason_is_given_for_errors_of_a_gpu_alone(error: Exception, reason: str | None) -> None:
    assert gpu_reason(error) == reason


def test_gpu_reason_is_shortened() -> None:
    reason = gpu_reason(RuntimeError("CUDA " + "x" * 1000))
    assert reason and len(reason) < MAX_REASON_LETTERS + 40 and reason.endswith("…")

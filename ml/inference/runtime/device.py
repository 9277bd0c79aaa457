"""How nets run on a GPU: in half precision, fed from pinned memory, and where shapes repeat as recorded graphs.

On a CPU nothing of it happens: what a net answers there would depend on whose instructions it has.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

CAPTURED_BATCH_SIZES = (1, 4, 16, 64, 256)
"""Rows of the batches that are recorded, in rising order; others are filled up to the next."""
WARM_UP_CALLS = 3
"""Calls before one is recorded: libraries choose their kernels and set up in them."""

_device = threading.Lock()
"""Held by a recording, and by each call of a net that is recorded: neither may begin in the midst of the other."""

Outputs = tuple[Tensor, ...]
Forward = Callable[[Tensor], Outputs]

logger = logging.getLogger(__name__)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """On a GPU forwards run in bf16 where it has that, else in fp16. No cache of cast weights: graphs outlive it."""
    if device.type != "cuda":
        return nullcontext()
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", kind, cache_enabled=False)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on the device; nobody waits for a GPU to fetch it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def capture(forward: Forward, rows: Tensor) -> Forward:
    """`forward` for batches of the shape of `rows`, as a CUDA graph: launched at once instead of kernel by kernel. Its
    answers hold until it is called again. Raises RuntimeError where it cannot be recorded."""
    given, stream = rows.clone(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_CALLS):
            forward(given)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may take memory meanwhile
        found = forward(given)

    def replay(batch: Tensor) -> Outputs:
        given.copy_(batch)
        graph.replay()
        return found

    return replay


class CudaGraphRunner:
    """A forward of any number of rows that runs as a few recorded ones, once they are there. Threads take turns then:
    each of these has one place for its input and one for its answer. Without them, as on a CPU, nobody waits."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._recorded: dict[int, Forward] = {}
        self._turn: AbstractContextManager[object] = nullcontext()

    @torch.inference_mode()
    def record(self, row: Tensor, record: Callable[[Forward, Tensor], Forward] = capture) -> None:
        """`row`: an example without its first dimension, on the device. Before the first call."""
        self._turn = _device
        for size in CAPTURED_BATCH_SIZES:
            try:
                with self._turn:
                    self._recorded[size] = record(self._forward, row.expand(size, *row.shape).contiguous())
            except RuntimeError as error:
                logger.warning("batches of %d are not recorded as a graph: %s", size, error)

    @torch.inference_mode()
    def __call__(self, rows: Tensor) -> Outputs:
        """`rows`: [N, …] with N ≥ 1."""
        size = next((size for size in self._recorded if size >= len(rows)), None)
        with self._turn:
            if size is None:
                return self._forward(rows)
            filled = rows.new_zeros(size, *rows.shape[1:])
            filled[: len(rows)] = rows
            return tuple(part[: len(rows)].clone() for part in self._recorded[size](filled))

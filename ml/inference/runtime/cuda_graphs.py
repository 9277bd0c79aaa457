"""CUDA graphs: forward passes of a few batch sizes that are captured once and then launched as a whole."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

CAPTURED_BATCH_SIZES = (1, 4, 16, 64, 256)
"""Rows of the captured batches, in rising order; other batches are padded to the next size."""
WARM_UP_CALLS = 3
"""Calls before a capture, in which libraries choose their kernels and allocate workspaces."""

_capture_lock = threading.Lock()
"""Serializes captures, and calls of captured networks: neither may start during the other."""

Outputs = tuple[Tensor, ...]
Forward = Callable[[Tensor], Outputs]
Capture = Callable[[Forward, Tensor], Forward]

logger = logging.getLogger(__name__)


def capture(forward: Forward, rows: Tensor) -> Forward:
    """Return `forward` for batches of the shape of `rows`, as a CUDA graph: one launch instead of one per kernel.

    Its outputs are valid until it is called again. Raises RuntimeError if it cannot be captured.
    """
    graph_input, stream = rows.clone(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_CALLS):
            forward(graph_input)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may allocate memory
        graph_outputs = forward(graph_input)

    def replay(batch: Tensor) -> Outputs:
        graph_input.copy_(batch)
        graph.replay()
        return graph_outputs

    return replay


class CudaGraphRunner:
    """Forward pass of any number of rows that runs as one of a few captured ones, once they are captured.

    Threads then take turns, because each captured pass has one buffer for its input and one for its outputs. Without
    captures, as on a CPU, no thread waits.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._captured: dict[int, Forward] = {}
        self._lock: AbstractContextManager[object] = nullcontext()

    @torch.inference_mode()
    def capture(self, row: Tensor, capture: Capture = capture) -> None:
        """Capture the batch sizes, before the first call. `row`: an example row, on the device."""
        self._lock = _capture_lock
        for size in CAPTURED_BATCH_SIZES:
            try:
                with self._lock:
                    self._captured[size] = capture(self._forward, row.expand(size, *row.shape).contiguous())
            except RuntimeError as error:
                logger.warning("Batches of %d rows run without a CUDA graph: %s", size, error)

    @torch.inference_mode()
    def __call__(self, rows: Tensor) -> Outputs:
        """Return the outputs of `rows` [N, …] with N ≥ 1."""
        size = next((size for size in self._captured if size >= len(rows)), None)
        with self._lock:
            if size is None:
                return self._forward(rows)
            padded = rows.new_zeros(size, *rows.shape[1:])
            padded[: len(rows)] = rows
            return tuple(output[: len(rows)].clone() for output in self._captured[size](padded))

"""Batching across jobs: a caller also runs the requests that were queued while the network was busy.

No caller waits to fill a batch, so a single job is as fast as without batching.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

from ml.inference.api import BatchPredictor, EmotionOutputs

SampleT = TypeVar("SampleT")


@dataclass
class _Pending(Generic[SampleT]):
    """Request of one caller, and its outputs once they are known."""

    samples: Sequence[SampleT]
    outputs: EmotionOutputs | None = None
    is_batched: bool = False


class CrossJobBatcher(Generic[SampleT]):
    """Access of several threads to one predictor, which is never called by two at once."""

    def __init__(self, predictor: BatchPredictor[SampleT]) -> None:
        self._predictor = predictor
        self._queue: list[_Pending[SampleT]] = []
        self._queue_lock, self._predictor_lock = threading.Lock(), threading.Lock()

    @property
    def embedding_size(self) -> int:
        return self._predictor.embedding_size

    @property
    def batch_size(self) -> int:
        return self._predictor.batch_size

    def predict(self, samples: Sequence[SampleT]) -> EmotionOutputs:
        """Return one row of outputs for each sample."""
        own = _Pending(samples)
        with self._queue_lock:
            self._queue.append(own)
        with self._predictor_lock:
            if not own.is_batched:
                self._run_queue()
            # A single request runs here, and so does one that was batched with others if their batch failed, because
            # another caller's samples must not fail this one.
            return own.outputs or self._predictor.predict(samples)

    def _run_queue(self) -> None:
        """Run all queued requests as one batch, if there are several, and distribute the rows."""
        with self._queue_lock:
            requests, self._queue = self._queue, []
        for request in requests:
            request.is_batched = True
        if len(requests) == 1:
            return
        try:
            outputs = self._predictor.predict(list(chain.from_iterable(request.samples for request in requests)))
        except Exception:  # each caller then runs its own request
            return
        first = 0
        for request in requests:
            rows = slice(first, first + len(request.samples))
            request.outputs = EmotionOutputs(outputs.embeddings_NE[rows], outputs.log_probabilities_NC[rows])
            first = rows.stop

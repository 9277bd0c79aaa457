import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ml.inference.api import EmotionOutputs
from ml.inference.runtime.batching import CrossJobBatcher
from tests.cluster import until


class EchoPredictor:
    """Predictor that returns its samples. Its first call lasts until `resume` is set."""

    embedding_size, batch_size = 1, 16

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.resume = threading.Event()

    def predict(self, samples: Sequence[float]) -> EmotionOutputs:
        self.batches.append(list(samples))
        assert self.resume.wait(30)
        if -1.0 in samples:
            raise ValueError("a bad sample")
        values = np.array(samples, np.float32).reshape(-1, 1)
        return EmotionOutputs(values, np.repeat(values, 7, axis=1))


def predict_concurrently(predictor: EchoPredictor, calls: Sequence[Sequence[float]]) -> list[object]:
    """Return the outputs of each call, or its error. The first call runs while the others are made."""
    batcher = CrossJobBatcher(predictor)

    def predict(samples: Sequence[float]) -> object:
        try:
            return batcher.predict(samples).embeddings_NE.ravel().tolist()
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        first = pool.submit(predict, calls[0])
        until(lambda: predictor.batches)
        rest = [pool.submit(predict, samples) for samples in calls[1:]]
        until(lambda: len(batcher._queue) == len(rest))
        predictor.resume.set()
        return [future.result() for future in (first, *rest)]


def test_requests_during_a_call_share_the_next_batch() -> None:
    predictor = EchoPredictor()
    calls = [[1.0], [2.0, 3.0], [], [4.0]]
    assert predict_concurrently(predictor, calls) == calls
    assert len(predictor.batches) == 2 and sorted(predictor.batches[1]) == [2.0, 3.0, 4.0]


def test_failing_sample_fails_only_its_own_request() -> None:
    predictor = EchoPredictor()
    first, bad, good = predict_concurrently(predictor, [[1.0], [-1.0], [2.0]])
    assert (first, good) == ([1.0], [2.0]) and isinstance(bad, ValueError)


def test_single_request_equals_the_predictor() -> None:
    predictor = EchoPredictor()
    predictor.resume.set()
    assert CrossJobBatcher(predictor).predict([5.0]).embeddings_NE.tolist() == [[5.0]]
    with pytest.raises(ValueError, match="bad sample"):
        CrossJobBatcher(predictor).predict([-1.0])

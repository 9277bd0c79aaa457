import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ml.inference.face.predictor import FaceOutputs
from ml.inference.runtime.batching import CrossJobBatcher
from tests.cluster import until


class Counting:
    """Answers with what it was asked. Its first call lasts until it is let go."""

    embedding_size, batch = 1, 16

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.go_on = threading.Event()

    def predict(self, crops: Sequence[float]) -> FaceOutputs:
        self.batches.append(list(crops))
        assert self.go_on.wait(30)
        if -1.0 in crops:
            raise ValueError("a bad crop")
        values = np.array(crops, np.float32).reshape(-1, 1)
        return FaceOutputs(values, np.repeat(values, 7, axis=1))


def ask(reader: Counting, calls: Sequence[Sequence[float]]) -> list[object]:
    """Answers, or errors; the first call is under way while the others come."""
    together = CrossJobBatcher(reader)

    def one(crops: Sequence[float]) -> object:
        try:
            return together.predict(crops).embeddings_NE.ravel().tolist()
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        first = pool.submit(one, calls[0])
        until(lambda: reader.batches)
        rest = [pool.submit(one, crops) for crops in calls[1:]]
        until(lambda: len(together._asked) == len(rest))
        reader.go_on.set()
        return [future.result() for future in (first, *rest)]


def test_what_comes_while_the_net_is_busy_is_read_in_one_forward() -> None:
    reader = Counting()
    calls = [[1.0], [2.0, 3.0], [], [4.0]]
    assert ask(reader, calls) == calls
    assert len(reader.batches) == 2 and sorted(reader.batches[1]) == [2.0, 3.0, 4.0]


def test_a_crop_that_cannot_be_read_fails_alone() -> None:
    reader = Counting()
    first, bad, good = ask(reader, [[1.0], [-1.0], [2.0]])
    assert (first, good) == ([1.0], [2.0]) and isinstance(bad, ValueError)


def test_alone_it_is_the_predictor_itself() -> None:
    reader = Counting()
    reader.go_on.set()
    assert CrossJobBatcher(reader).predict([5.0]).embeddings_NE.tolist() == [[5.0]]
    with pytest.raises(ValueError, match="bad crop"):
        CrossJobBatcher(reader).predict([-1.0])

"""Crops of several jobs in one forward: whoever begins one takes along what others have brought while the net was busy.

Nobody waits for company, so a job alone is as fast as before.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from ml.inference.face.predictor import FaceOutputs


class FaceReader(Protocol):
    """What `ml.inference.face.predictor.FacePredictor` offers."""

    @property
    def embedding_size(self) -> int: ...

    @property
    def batch(self) -> int:
        """Crops that are best read together."""

    @property
    def predict(self) -> Callable[..., FaceOutputs]:
        """Of columns, the crops first: one answer for each row."""


@dataclass
class _Pending:
    """The columns of one call, of equal length, and its answer."""

    columns: tuple[Sequence[Any], ...]
    answer: FaceOutputs | None = None
    tried: bool = False


class CrossJobBatcher:
    """A predictor that threads share."""

    def __init__(self, reader: FaceReader) -> None:
        self._reader = reader
        self._asked: list[_Pending] = []
        self._gate, self._turn = threading.Lock(), threading.Lock()

    @property
    def embedding_size(self) -> int:
        return self._reader.embedding_size

    @property
    def batch(self) -> int:
        return self._reader.batch

    def predict(self, *columns: Sequence[Any]) -> FaceOutputs:
        """As the predictor's own, which is never called by two at once."""
        mine = _Pending(columns)
        with self._gate:
            self._asked.append(mine)
        with self._turn:
            if not mine.tried:
                self._answer(self._take())
            # Alone, or read together with one that cannot be read: that is not to be its own failure.
            return mine.answer or self._reader.predict(*columns)

    def _take(self) -> list[_Pending]:
        with self._gate:
            asked, self._asked = self._asked, []
        return asked

    def _answer(self, asked: list[_Pending]) -> None:
        """Of several, what they are answered together."""
        for each in asked:
            each.tried = True
        if len(asked) == 1:
            return
        joined = (list(chain(*column)) for column in zip(*(each.columns for each in asked), strict=True))
        try:
            outputs = self._reader.predict(*joined)
        except Exception:  # each is read alone then
            return
        first = 0
        for each in asked:
            rows = slice(first, first + len(each.columns[0]))
            each.answer = FaceOutputs(outputs.embeddings_NE[rows], outputs.log_probabilities_NC[rows])
            first = rows.stop

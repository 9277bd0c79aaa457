"""Work in a thread beside that of an analysis: one thread, so that it is done in order."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from ml.errors import Cancelled
from ml.inference.runtime.progress import NullListener, StageTimer
from ml.vocabulary import Stage

MIN_CORES_FOR_OVERLAP = 3
"""From so many on, sound is heard while pictures are seen. Pictures alone fill two: there it gains nothing, but takes
the memory of both at once."""
POLL_SECONDS = 0.1
"""How often who waits for the thread looks up."""

T = TypeVar("T")


class _BackgroundListener(NullListener):
    """Watches the thread: it may not speak for the analysis, but can be told to stop."""

    def __init__(self) -> None:
        self.done = 0.0
        self.unwanted = threading.Event()

    def progress(self, fraction: float) -> None:
        self.done = fraction

    def check(self) -> None:
        if self.unwanted.is_set():
            raise Cancelled("The work beside this is no longer wanted.")


class BackgroundStages:
    """Stages that are worked on beside others; without a `pool`, when their results are asked for."""

    def __init__(self, clock: StageTimer, pool: ThreadPoolExecutor | None) -> None:
        self._clock, self._pool = clock, pool
        self._begun: list[tuple[_BackgroundListener, Future[Any]]] = []

    def start(self, stage: Stage, work: Callable[[StageTimer], T]) -> Callable[[], T]:
        """What comes back gives the result of `work`, which is given a clock of its own, and waits for it. The observer
        is told of the stage then, and so never of two at once; the time of the stage is that of its work."""
        if self._pool is None:
            return lambda: _staged(self._clock, stage, work)
        aside = _BackgroundListener()
        own = StageTimer(aside, [stage])
        future = self._pool.submit(_staged, own, stage, work)
        self._begun.append((aside, future))
        return lambda: _awaited(self._clock, stage, aside, own, future)

    def check(self) -> None:
        """Raises what some work has failed with: the rest would be in vain."""
        for _, future in self._begun:
            if future.done() and (error := future.exception()):
                raise error

    def stop(self) -> None:
        """Work ends at its next check."""
        for aside, _ in self._begun:
            aside.unwanted.set()


@contextmanager
def background_stages(clock: StageTimer, *, threads: bool) -> Iterator[BackgroundStages]:
    """Left by an error, the work is stopped, and waited for."""
    if not threads:
        yield BackgroundStages(clock, None)
        return
    with ThreadPoolExecutor(1, "beside") as pool:
        work = BackgroundStages(clock, pool)
        try:
            yield work
        finally:
            work.stop()


def _staged(clock: StageTimer, stage: Stage, work: Callable[[StageTimer], T]) -> T:
    with clock.stage(stage):
        return work(clock)


def _awaited(clock: StageTimer, stage: Stage, aside: _BackgroundListener, own: StageTimer, future: "Future[T]") -> T:
    with clock.stage(stage, spent=lambda: own.timings.get(stage, 0.0)):
        while not future.done():
            wait([future], POLL_SECONDS)
            clock.check()
            clock.set_fraction(aside.done)
        return future.result()

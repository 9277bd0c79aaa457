"""Stages that run in a background thread, concurrently with the stages of an analysis."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from ml.errors import Cancelled
from ml.inference.runtime.progress import NullListener, StageTimer
from ml.vocabulary import Stage

MIN_CORES_FOR_OVERLAP = 3
"""Number of cores from which audio is read concurrently with video. Video alone uses two: there, overlapping saves no
time but needs the memory of both at once."""
POLL_SECONDS = 0.1
"""Seconds between two checks for cancellation while a background stage is awaited."""

T = TypeVar("T")


class _BackgroundListener(NullListener):
    """Listener in the background thread: it remembers the progress for the waiting thread, and can be stopped."""

    def __init__(self) -> None:
        self.fraction = 0.0
        self.stopped = threading.Event()

    def progress(self, fraction: float) -> None:
        self.fraction = fraction

    def check(self) -> None:
        if self.stopped.is_set():
            raise Cancelled("The work of the background thread is no longer wanted.")


class BackgroundStages:
    """Stages that one background thread runs in order; without a `pool` they run when their results are requested."""

    def __init__(self, timer: StageTimer, pool: ThreadPoolExecutor | None) -> None:
        self._timer, self._pool = timer, pool
        self._started: list[tuple[_BackgroundListener, Future[Any]]] = []

    def start(self, stage: Stage, work: Callable[[StageTimer], T]) -> Callable[[], T]:
        """Start a stage and return a function that waits for its result. `work` receives a timer of its own.

        The stage is reported to the listener while it is awaited, so that no two stages are reported at once; its time
        is that of its work.
        """
        if self._pool is None:
            return lambda: _run_stage(self._timer, stage, work)
        listener = _BackgroundListener()
        timer = StageTimer(listener, [stage])
        future = self._pool.submit(_run_stage, timer, stage, work)
        self._started.append((listener, future))

        def result() -> T:
            with self._timer.stage(stage, spent=lambda: timer.timings.get(stage, 0.0)):
                while not future.done():
                    wait([future], POLL_SECONDS)
                    self._timer.check()
                    self._timer.set_fraction(listener.fraction)
                return future.result()

        return result

    def check(self) -> None:
        """Raise the error of a stage that failed, because the other work would be useless."""
        for _, future in self._started:
            if future.done() and (error := future.exception()):
                raise error

    def stop(self) -> None:
        """Make each stage end at its next check."""
        for listener, _ in self._started:
            listener.stopped.set()


@contextmanager
def background_stages(timer: StageTimer, *, threads: bool) -> Iterator[BackgroundStages]:
    """Yield background stages, in a thread if `threads`. On an error they are stopped and awaited."""
    if not threads:
        yield BackgroundStages(timer, None)
        return
    with ThreadPoolExecutor(1, "background") as pool:
        stages = BackgroundStages(timer, pool)
        try:
            yield stages
        finally:
            stages.stop()


def _run_stage(timer: StageTimer, stage: Stage, work: Callable[[StageTimer], T]) -> T:
    with timer.stage(stage):
        return work(timer)

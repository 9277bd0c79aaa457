"""Work in a thread beside that of an analysis: one thread, so that it is done in order."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

from ml.errors import Cancelled
from ml.inference.observer import Clock, Silent
from ml.vocabulary import Stage

SPARE_CORES = 3
"""From so many on, sound is heard while pictures are seen. Pictures alone fill two: there it gains nothing, but takes
the memory of both at once."""
TICK_SECONDS = 0.1
"""How often who waits for the thread looks up."""

T = TypeVar("T")


class Begin(Protocol):
    """Begins a stage's work, which is given a clock of its own; what comes back gives the result, and waits for it."""

    def __call__(self, stage: Stage, work: Callable[[Clock], T]) -> Callable[[], T]: ...


class _Aside(Silent):
    """Watches the thread: it may not speak for the analysis, but can be told to stop."""

    def __init__(self) -> None:
        self.done = 0.0
        self.unwanted = threading.Event()

    def progress(self, fraction: float) -> None:
        self.done = fraction

    def check(self) -> None:
        if self.unwanted.is_set():
            raise Cancelled("The work beside this is no longer wanted.")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def beside(clock: Clock, *, threads: bool) -> Iterator[Begin]:
    """Gives what begins work in a thread, or without `threads` does it when its result is asked for.

    The observer of `clock` is told of the stage when the result is asked for, and of no two stages at once; the time of
    the stage is that of its work. Left by an error, the work ends at its next check, and is waited for.
    """
    if not threads:
        yield lambda stage, work: lambda: _staged(clock, stage, work)
        return
    with ThreadPoolExecutor(1, "beside") as pool:
        every: list[_Aside] = []

        def begin(stage: Stage, work: Callable[[Clock], T]) -> Callable[[], T]:
            aside = _Aside()
            every.append(aside)
            own = Clock(aside, [stage])
            future = pool.submit(_staged, own, stage, work)
            return lambda: _awaited(clock, stage, aside, own, future)

        try:
            yield begin
        finally:
            for aside in every:
                aside.unwanted.set()


def _staged(clock: Clock, stage: Stage, work: Callable[[Clock], T]) -> T:
    with clock.stage(stage):
        return work(clock)


def _awaited(clock: Clock, stage: Stage, aside: _Aside, own: Clock, future: "Future[T]") -> T:
    with clock.stage(stage, spent=lambda: own.timings.get(stage, 0.0)):
        while not future.done():
            wait([future], TICK_SECONDS)
            clock.check()
            clock.within(aside.done)
        return future.result()

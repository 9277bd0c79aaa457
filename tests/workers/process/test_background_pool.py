"""Threads that work until nothing is left to do."""

import threading
import time
from collections.abc import Callable

import pytest
from redis import ConnectionError

from workers.process.background_pool import BackgroundPool


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


class Queue:
    """Jobs that wait for `release`."""

    def __init__(self, count: int) -> None:
        self.waiting, self.started, self.ended = count, 0, 0
        self.release = threading.Event()
        self._lock = threading.Lock()

    def run_next(self) -> str | None:
        with self._lock:
            if not self.waiting:
                return None
            self.waiting -= 1
            self.started += 1
        self.release.wait(20)
        with self._lock:
            self.ended += 1
        return "job"


def test_pool_runs_several_at_once_and_no_more_than_allowed() -> None:
    queue = Queue(10)
    pool = BackgroundPool("test", queue.run_next, 3)
    for _ in range(10):
        pool.wake()
    until(lambda: queue.started == 3)
    queue.release.set()
    until(lambda: queue.ended == 10)
    pool.stop(20)


def test_pool_wake_up_while_all_threads_are_busy_is_not_lost() -> None:
    """The thread has looked and found nothing, but is not yet over."""
    looking, looked, jobs = threading.Event(), threading.Event(), ["late"]

    def run_next() -> str | None:
        if not looking.is_set():
            looking.set()
            looked.wait(20)
            return None
        return jobs.pop() if jobs else None

    pool = BackgroundPool("test", run_next, 1)
    pool.wake()
    assert looking.wait(20)
    pool.wake()
    looked.set()
    until(lambda: not jobs)
    pool.stop(20)


@pytest.mark.parametrize("error", [ConnectionError("gone"), ValueError("broken")])
def test_pool_goes_on_after_an_error(error: Exception) -> None:
    results = [error, None]
    seen = []

    def run_next() -> str | None:
        seen.append(result := results.pop(0))
        if isinstance(result, Exception):
            raise result
        return result

    pool = BackgroundPool("test", run_next, 1)
    pool.wake()
    until(lambda: len(seen) == 1)
    until(lambda: pool.wake() or len(seen) == 2)
    pool.stop(20)


def test_pool_stop_waits_for_running_work_and_starts_nothing() -> None:
    queue = Queue(3)
    pool = BackgroundPool("test", queue.run_next, 1)
    pool.wake()
    until(lambda: queue.started == 1)
    threading.Timer(0.2, queue.release.set).start()
    pool.stop(20)
    pool.wake()
    assert (queue.started, queue.ended) == (1, 1)

"""Threads for work that waits for other servers: downloads and webhooks. It never occupies a process that analyses."""

import logging
import threading
import time
from collections.abc import Callable

from redis import RedisError

logger = logging.getLogger(__name__)


class BackgroundPool:
    """Threads that call `run_next` until it returns None, which means that nothing is left to do.

    Each wake-up starts another thread, up to `max_threads`. Threads end when there is nothing to do.
    """

    def __init__(self, name: str, run_next: Callable[[], object | None], max_threads: int) -> None:
        self._name, self._run_next, self._max_threads = name, run_next, max_threads
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._woken = self._stopped = False

    def wake(self) -> None:
        """Look for work, in another thread. Returns at once."""
        with self._lock:
            if self._stopped:
                return
            if len(self._threads) >= self._max_threads:
                self._woken = True  # a thread that finds nothing then looks once more
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.add(thread)
            thread.start()

    def stop(self, seconds: float) -> None:
        """Start no more work, and wait up to `seconds` for what runs."""
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while self._found_work() or self._continues():
            pass

    def _found_work(self) -> bool:
        if self._stopped:
            return False
        try:
            return self._run_next() is not None
        except RedisError:
            logger.warning("Redis is unavailable; maintenance sends another wake-up")
        except Exception as error:  # the thread's work is lost, the lease of it expires
            logger.error("internal error in %s", self._name, exc_info=error)
        return False

    def _continues(self) -> bool:
        """Return whether there was a wake-up while all threads were busy. If not, the thread ends."""
        with self._lock:
            continues, self._woken = self._woken and not self._stopped, False
            if not continues:
                self._threads.remove(threading.current_thread())
            return continues

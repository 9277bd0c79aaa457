"""Limit of the concurrent requests of one caller, so that those which wait do not use up what all callers share."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import RateLimited

RETRY_SECONDS = 5
"""`Retry-After` of a request above the limit, in seconds."""


class ConcurrencyLimit:
    """Counter of the requests in progress of each caller, at one gateway process. Belongs to one event loop."""

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._running: Counter[str] = Counter()

    @contextmanager
    def enter(self, owner: str) -> Iterator[None]:
        """Count a request while the context is open. Raises RateLimited if the caller has too many."""
        if self._running[owner] >= self._max_requests:
            raise RateLimited(
                f"You have {self._max_requests} requests in progress: wait until one has ended.",
                retry_after=RETRY_SECONDS,
            )
        self._running[owner] += 1
        try:
            yield
        finally:
            self._running[owner] -= 1

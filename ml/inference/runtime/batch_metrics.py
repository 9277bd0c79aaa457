"""Reports the size of each batch that a network reads, for metrics."""

from collections.abc import Callable

BatchListener = Callable[[str, int], None]
"""Function that receives the role of a network and the number of its inputs."""

_listeners: list[BatchListener] = []


def on_batch(listener: BatchListener) -> None:
    """Call `listener` before each forward pass of this process, in the thread that runs it."""
    _listeners.append(listener)


def record_batch(role: str, size: int) -> None:
    for listener in _listeners:
        listener(role, size)

"""Tells whoever listens how many inputs each forward of a model had."""

from collections.abc import Callable

Listener = Callable[[str, int], None]

_listeners: list[Listener] = []


def on_batch(listener: Listener) -> None:
    """`listener` is called with role and size before each forward of this process, from whichever thread runs it."""
    _listeners.append(listener)


def record_batch(role: str, size: int) -> None:
    for listener in _listeners:
        listener(role, size)

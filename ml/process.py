"""How a process that runs models is set up, before the libraries that it is about are loaded."""

import ctypes
import os
from contextlib import suppress

ARENAS = 1
"""Pools that glibc's threads allocate from; each keeps what it has freed, and its own default is eight for each core. A
second one takes 5 to 50 MB and gains no time."""
_M_ARENA_MAX = -8


def prepare() -> None:
    """To be called before torch is imported, and before there are threads.

    Threads of OpenMP that have nothing to do sleep instead of spinning: where others want the cores too, a forward then
    takes half of the computing time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)

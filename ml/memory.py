"""How a process that runs models is set up, before the libraries that it is about are loaded."""

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ml.cpu import affinity_count, cpu_count

ARENAS = 1
"""Pools that glibc's threads allocate from; each keeps what it has freed, and its own default is eight for each core. A
second one takes 5 to 50 MB and gains no time."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_TRIM_THRESHOLD, _MMAP_MAX = 128 * 2**10, 65_536
"""glibc's own."""
_LIBC = ctypes.CDLL(None)


def configure_process(threads: int = 0) -> None:
    """To be called before torch is imported, and before there are threads.

    Threads of OpenMP that have nothing to do sleep instead of spinning: where others want the cores too, a forward then
    takes half of the computing time. `threads`: of one team of them at most; 0 for as many as a container's quota
    allows.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if threads or cpu_count() < affinity_count():
        os.environ.setdefault("OMP_NUM_THREADS", str(threads or cpu_count()))
    _set({_M_ARENA_MAX: ARENAS})


@contextmanager
def keep_heap() -> Iterator[None]:
    """What is freed meanwhile is kept for what comes next, and given back in the end. Else each large array of a
    training step is new to the process, and the system clears every page of it first: up to a fifth of the step."""
    _set({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})
    try:
        yield
    finally:
        _set({_M_MMAP_MAX: _MMAP_MAX, _M_TRIM_THRESHOLD: _TRIM_THRESHOLD})
        trim_heap()


def _set(options: Mapping[int, int]) -> None:
    """Options of glibc's malloc."""
    with suppress(AttributeError):  # another C library
        for option, value in options.items():
            _LIBC.mallopt(option, value)


def peak_bytes() -> int:
    """The most that this process has held. (`ru_maxrss` is no less than what its parent held when it began.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def trim_heap() -> None:
    """Gives the memory that was freed back to the system, where glibc would keep it: what comes next needs other sizes,
    and would take as much again beside it. Some milliseconds."""
    with suppress(AttributeError):
        _LIBC.malloc_trim(0)

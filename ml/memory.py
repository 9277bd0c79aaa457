"""Memory and thread settings of a process that runs models, to be applied before their libraries are loaded."""

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ml.cpu import affinity_count, cpu_count

ARENAS = 1
"""Number of glibc malloc arenas. Each keeps the memory that it has freed, and the default is eight per core. A second
one takes 5 to 50 MB and saves no time."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_TRIM_THRESHOLD, _MMAP_MAX = 128 * 2**10, 65_536
"""Defaults of glibc."""
_LIBC = ctypes.CDLL(None)


def configure_process(threads: int = 0) -> None:
    """Configure OpenMP and malloc. To be called before torch is imported and before threads exist.

    Idle threads of OpenMP sleep instead of spinning: if other processes use the cores too, a forward pass then takes
    half of the CPU time. `threads`: maximum threads of one OpenMP team; 0 for as many as the container's quota allows.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if threads or cpu_count() < affinity_count():
        os.environ.setdefault("OMP_NUM_THREADS", str(threads or cpu_count()))
    _mallopt({_M_ARENA_MAX: ARENAS})


@contextmanager
def keep_heap() -> Iterator[None]:
    """Keep freed memory for reuse inside the context, and return it to the system afterwards.

    Otherwise each large array of a training step is new to the process, and the system first clears every page of it:
    up to a fifth of the step.
    """
    _mallopt({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1})
    try:
        yield
    finally:
        _mallopt({_M_MMAP_MAX: _MMAP_MAX, _M_TRIM_THRESHOLD: _TRIM_THRESHOLD})
        trim_heap()


def _mallopt(options: Mapping[int, int]) -> None:
    with suppress(AttributeError):  # another C library
        for option, value in options.items():
            _LIBC.mallopt(option, value)


def peak_bytes() -> int:
    """Return the peak resident memory of this process. (`ru_maxrss` includes the parent's memory at the fork.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def trim_heap() -> None:
    """Return freed memory to the system, in a few milliseconds.

    glibc would keep it although the next step needs other sizes, and would allocate as much again in addition.
    """
    with suppress(AttributeError):
        _LIBC.malloc_trim(0)

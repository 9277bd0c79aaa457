"""What processes hold and use, as /proc tells it: of one, or of all that descend from it, whose sessions differ."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LOOK_SECONDS = 0.1


def tree(pid: int) -> set[int]:
    """The process, its children and theirs."""
    children = defaultdict(list)
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            children[int(_fields(path)[1])].append(int(path.parent.name))
    found, further = set[int](), [pid]
    while further:
        found.add(each := further.pop())
        further += children[each]
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process and all that descend from it, with those of them that have ended and were waited for."""
    ticks = 0
    for each in tree(pid):
        with suppress(OSError):
            ticks += sum(map(int, _fields(PROC / str(each) / "stat")[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> float:
    """Megabytes that a process has held at most. (`ru_maxrss` is no less than what its parent held when it began.)"""
    return _megabytes(pid, "VmHWM")


@dataclass
class Watched:
    """Megabytes, at most so far: `tree`, held by all processes at once, where shared pages count for each; `decoder`,
    by one ffmpeg."""

    tree: float = 0.0
    decoder: float = 0.0

    def look(self, pids: set[int]) -> None:
        self.tree = max(self.tree, sum(_megabytes(pid, "VmRSS") for pid in pids))
        self.decoder = max([self.decoder, *(peak_memory(pid) for pid in pids if _name(pid) == "ffmpeg")])


@contextmanager
def watched(pid: int) -> Iterator[Watched]:
    """Looks again and again at a process and all that descend from it. One counts from the second look on: until it
    runs its own program, its memory is that of its parent."""
    found, ended = Watched(), threading.Event()

    def watch() -> None:
        known = tree(pid)
        while not ended.wait(LOOK_SECONDS):
            present = tree(pid)
            found.look(known & present)
            known = present

    thread = threading.Thread(target=watch, name="watched", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _fields(stat: Path) -> list[str]:
    """Those behind the name, which may hold anything: state, parent, …"""
    return stat.read_text().rpartition(")")[2].split()


def _name(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return ""


def _megabytes(pid: int, field: str) -> float:
    """0 for one that has ended."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024 / 1e6
    return 0.0

"""Times things against each other: in turn, in one run, so that a machine that grows slower does so for both."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Action = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """What was measured, over the rounds. `floor`, `aim`: most (least, where `rising`) that is asked for."""

    name: str
    unit: str
    median: float
    least: float
    most: float
    floor: float | None = None
    aim: float | None = None
    rising: bool = False

    @classmethod
    def of(cls, name: str, unit: str, values: list[float], **asked: Any) -> "Figure":
        return cls(name, unit, statistics.median(values), min(values), max(values), **asked)

    @property
    def verdict(self) -> str:
        """Whether the median reaches what is asked for."""

        def reaches(bound: float) -> bool:
            return self.median >= bound if self.rising else self.median <= bound

        if self.aim is not None and reaches(self.aim):
            return "aim"
        if self.floor is None:
            return ""
        return "floor" if reaches(self.floor) else "missed"

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def seconds(action: Action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def computing(action: Action) -> float:
    """CPU seconds of this process and its children: a busy neighbour changes them less than it does the time."""

    def used() -> float:
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    before = used()
    action()
    return used() - before


def cpu_seconds(pid: int) -> float:
    """Of a process and all others in the session that it leads, and of their children that have ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            fields = path.read_text().rpartition(")")[2].split()
            if pid in (int(fields[3]), int(path.parent.name)):
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> float:
    """Megabytes that the largest process of a session has held at once."""
    found = [0]
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, KeyError, IndexError):
            if os.getsid(int(path.parent.name)) == pid:
                about = dict(line.split(":", 1) for line in path.read_text().splitlines())
                found.append(int(about["VmHWM"].split()[0]))
    return max(found) / 1024


def alternate(sides: Mapping[str, Action], rounds: int, *, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of each side in each round; after one that does not count, with `warm_up`."""
    for action in sides.values() if warm_up else ():
        action()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, action in sides.items():
            taken[name].append(seconds(action))
    return taken


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]

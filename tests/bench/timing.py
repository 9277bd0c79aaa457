"""Times things against each other: in turn, in one run, so that a machine that grows slower does so for both."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from ml.cpu import cpu_count

Action = Callable[[], object]

ASKED_CORES = 2
"""On which floors and aims hold."""


@dataclass(frozen=True)
class Figure:
    """What was measured: one value for each round. `floor`, `aim`: most (least, where `rising`) that is asked for."""

    name: str
    unit: str
    values: Sequence[float]
    floor: float | None = None
    aim: float | None = None
    rising: bool = False
    cores: int = field(default_factory=cpu_count)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From what `json` gave."""
        return cls(**{each.name: document[each.name] for each in fields(cls)})

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median reaches what is asked for; of another number of cores nothing is said."""

        def reaches(bound: float) -> bool:
            return self.median >= bound if self.rising else self.median <= bound

        if self.cores != ASKED_CORES:
            return ""
        if self.aim is not None and reaches(self.aim):
            return "aim"
        if self.floor is None:
            return ""
        return "floor" if reaches(self.floor) else "missed"

    def json(self) -> dict[str, Any]:
        told = {"median": self.median, "least": self.least, "most": self.most, "verdict": self.verdict}
        return {**asdict(self), **told}


@dataclass(frozen=True)
class Taken:
    """Of each round: seconds, and CPU seconds of this process and of the children that it has waited for: a busy
    neighbour changes these less."""

    seconds: list[float] = field(default_factory=list)
    computing: list[float] = field(default_factory=list)

    def add(self, action: Action) -> None:
        began, before = time.perf_counter(), _computing()
        action()
        self.seconds.append(time.perf_counter() - began)
        self.computing.append(_computing() - before)


def _computing() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def seconds(action: Action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def alternate(sides: Mapping[str, Action], rounds: int, *, warm_up: bool = True) -> dict[str, Taken]:
    """What each side takes in each round, after one that does not count, with `warm_up`. Every other round begins with
    the last side."""
    for action in sides.values() if warm_up else ():
        action()
    taken, order = {name: Taken() for name in sides}, list(sides)
    for number in range(rounds):
        for name in order[::-1] if number % 2 else order:
            taken[name].add(sides[name])
    return taken


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]

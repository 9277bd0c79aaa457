"""How many cores this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def affinity_count() -> int:
    """Those that the scheduler lets it run on."""
    return len(os.sched_getaffinity(0))


def cpu_count(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """At least one: those allowed, but no more than the quotas of its control groups, which is how containers are
    limited (`cpus: 4` leaves all of a host's cores in sight), rounded up."""
    return max(1, min([affinity_count(), *map(math.ceil, _quotas(proc, cgroups))]))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """In cores: of its groups and those that they lie in, as versions 2 and 1 of the kernel's interface tell them."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        inner = root / path.lstrip("/")
        for group in (inner, *inner.parents):
            if group.is_relative_to(root):
                yield from _version_1(group) if controllers else _version_2(group)


def _version_2(group: Path) -> Iterator[float]:
    quota, period = _numbers(group / "cpu.max", 2) or ("max", "1")
    if quota != "max":
        yield int(quota) / int(period)


def _version_1(group: Path) -> Iterator[float]:
    quota, period = _numbers(group / "cpu.cfs_quota_us", 1), _numbers(group / "cpu.cfs_period_us", 1)
    if quota and period and int(quota[0]) > 0:
        yield int(quota[0]) / int(period[0])


def _numbers(path: Path, count: int) -> list[str]:
    """The words of a file, where it has so many."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return words if len(words) == count else []

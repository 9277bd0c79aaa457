"""Number of CPU cores available to this process."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def affinity_count() -> int:
    """Return the number of cores on which the scheduler may run this process."""
    return len(os.sched_getaffinity(0))


def cpu_count(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return the number of cores that this process may use: at least 1.

    That is `affinity_count`, limited by the quotas of its control groups, rounded up. Containers are limited by quotas
    (`cpus: 4` leaves all cores of a host visible).
    """
    return max(1, min([affinity_count(), *map(math.ceil, _quotas(proc, cgroups))]))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of its control groups and their parents, from versions 1 and 2 of the interface."""
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
    quota, period = _fields(group / "cpu.max", 2) or ("max", "1")
    if quota != "max":
        yield int(quota) / int(period)


def _version_1(group: Path) -> Iterator[float]:
    quota, period = _fields(group / "cpu.cfs_quota_us", 1), _fields(group / "cpu.cfs_period_us", 1)
    if quota and period and int(quota[0]) > 0:
        yield int(quota[0]) / int(period[0])


def _fields(path: Path, count: int) -> list[str]:
    """Return the fields of a file, or an empty list unless there are `count` of them."""
    try:
        fields = path.read_text().split()
    except OSError:
        return []
    return fields if len(fields) == count else []

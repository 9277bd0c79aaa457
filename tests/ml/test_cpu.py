"""Cores as the scheduler and a container's quota leave them."""

from pathlib import Path

import pytest

from ml import cpu as module
from ml.cpu import cpu_count


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "affinity_count", lambda: 16)


def group(folder: Path, proc_text: str, files: dict[str, str]) -> tuple[Path, Path]:
    proc, cgroups = folder / "cgroup", folder / "groups"
    proc.write_text(proc_text)
    cgroups.mkdir()
    for name, text in files.items():
        path = cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, cgroups


@pytest.mark.parametrize(
    "proc_text, files, expected",
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "6400000 100000\n"}, 16),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/gone\n", {"cpu.max": "nonsense\n"}, 16),
        ("4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "250000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 3),
        ("4:cpu:/x\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ("3:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
    ],
)
def test_cpu_count_is_limited_by_smallest_quota(
    tmp_path: Path, proc_text: str, files: dict[str, str], expected: int
) -> None:
    assert cpu_count(*group(tmp_path, proc_text, files)) == expected


def test_cpu_count_without_control_groups_is_affinity(tmp_path: Path) -> None:
    assert cpu_count(tmp_path / "none", tmp_path) == 16

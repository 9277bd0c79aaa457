"""Memory and utilisation of NVIDIA GPUs, as reported by `nvidia-smi`. Empty on a machine without one."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_FIELDS = "index,memory.used,memory.total,utilization.gpu"
_COMMAND = ("nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits")
_TIMEOUT_SECONDS = 5.0
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Gpu:
    """State of one GPU. `memory_used`, `memory_total` in bytes; `busy`: share of time, 0..1, None if not reported."""

    index: str
    memory_used: float
    memory_total: float
    busy: float | None

    @classmethod
    def parse(cls, line: str) -> Self:
        """Parse a line of `nvidia-smi`, in MiB and percent. Raises ValueError."""
        index, used, total, percent = (part.strip() for part in line.split(","))
        busy = float(percent) / 100 if percent.isdecimal() else None  # `[N/A]` with MIG
        return cls(index, float(used) * _MEBIBYTE, float(total) * _MEBIBYTE, busy)


def read_gpus() -> list[Gpu]:
    """Return the GPUs that this process can see; empty if nvidia-smi is missing or fails."""
    if shutil.which(_COMMAND[0]) is None:
        return []
    try:
        output = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True).stdout
        return [Gpu.parse(line) for line in output.splitlines() if line.strip()]
    except (subprocess.SubprocessError, OSError, ValueError):
        return []


class GpuCollector(Collector):
    """Collector that reads the GPUs at each scrape."""

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering does not run nvidia-smi."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        used = GaugeMetricFamily("affect_gpu_memory_used_bytes", "GPU memory in use.", labels=["gpu"])
        total = GaugeMetricFamily("affect_gpu_memory_bytes", "GPU memory.", labels=["gpu"])
        busy = GaugeMetricFamily("affect_gpu_busy_ratio", "Share of time in which the GPU works.", labels=["gpu"])
        for gpu in read_gpus():
            used.add_metric([gpu.index], gpu.memory_used)
            total.add_metric([gpu.index], gpu.memory_total)
            if gpu.busy is not None:
                busy.add_metric([gpu.index], gpu.busy)
        yield from (used, total, busy)

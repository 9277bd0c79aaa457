"""Prometheus metrics of a service that may run as several processes, gateway or worker.

A service with one process keeps its counts in memory. Processes of one service share their counts through memory-mapped
files (the multiprocess mode of prometheus_client), and the process that is scraped answers for all of them. A process
that is killed leaves its counts behind, so that no counter ever decreases.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder of the shared counts. prometheus_client and child processes read it."""
_START = "start"
"""Name of a file with the start of the counts as its modification time."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
"""Preferred parent of that folder: counts do not fail when a disk is full."""


def start_sharing() -> Path:
    """Share the counts of metrics that are created from now on with the processes that this one starts.

    Return the folder of the counts; the caller deletes it with `stop_sharing`.
    """
    use_memory = "TMPDIR" not in os.environ and os.access(_SHARED_MEMORY, os.W_OK)
    folder = tempfile.mkdtemp(prefix="affect-metrics-", dir=_SHARED_MEMORY if use_memory else None)
    Path(folder, _START).touch()
    os.environ[SHARED_FOLDER] = folder
    values.ValueClass = values.MultiProcessValue()
    return Path(folder)


def stop_sharing(folder: Path) -> None:
    """Delete the shared counts."""
    os.environ.pop(SHARED_FOLDER, None)
    values.ValueClass = values.MutexValue
    shutil.rmtree(folder, ignore_errors=True)


def jobs_reaped(registry: CollectorRegistry) -> Counter:
    """Return the counter of jobs taken from dead workers, which gateways and workers both keep."""
    counter = Counter(
        "affect_jobs_reaped",
        "Jobs that were taken from dead workers, by their status afterwards.",
        ["status"],
        registry=registry,
    )
    for status in ("queued", "failed", "cancelled"):
        counter.labels(status)  # 0 from the start, so that the first increment shows as a rise
    return counter


def scraped_registry(counts: CollectorRegistry) -> CollectorRegistry:
    """Return the registry that answers scrapes: `counts` itself, or the sums over all processes if they share their
    counts.

    To be called once all metrics of `counts` are declared.
    """
    folder = os.environ.get(SHARED_FOLDER)
    if folder is None:
        return counts
    registry = CollectorRegistry()
    registry.register(_SharedCounts(list(counts.collect()), Path(folder)))
    return registry


class _SharedCounts(Collector):
    """Collector of sums over all processes, with help texts, empty metrics and start times that the files leave out."""

    def __init__(self, declared: list[Metric], folder: Path) -> None:
        self._declared, self._folder = declared, folder

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that registering reads no files."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        self._drop_dead_processes()
        start = (self._folder / _START).stat().st_mtime
        files = [str(path) for path in self._folder.glob("*.db") if _is_written(path)]
        sums = {metric.name: metric for metric in MultiProcessCollector.merge(files)}
        for declared in self._declared:
            metric = Metric(declared.name, declared.documentation, declared.type)
            if declared.name in sums:
                metric.samples = sums[declared.name].samples
            for sample in list(metric.samples):
                if sample.name.endswith(("_total", "_count")):
                    metric.add_sample(f"{metric.name}_created", sample.labels, start)
            yield metric

    def _drop_dead_processes(self) -> None:
        """Remove the in-progress gauges of processes that have died from the sums."""
        for process in {int(path.stem.rpartition("_")[2]) for path in self._folder.glob("gauge_live*_*.db")}:
            with suppress(PermissionError):
                try:
                    os.kill(process, 0)
                except ProcessLookupError:
                    mark_process_dead(process, str(self._folder))


def _is_written(path: Path) -> bool:
    """Return whether a process has written counts to the file: a new one is empty for a moment, or for ever if the
    process was killed then."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False

"""Counts shared by the processes of a worker, any of which may be killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from workers.process.gpu import Gpu, read_gpus
from workers.process.metrics import WorkerMetrics
from workers.process.readiness import WorkerReadiness
from workers.protocol.observability.metrics import SHARED_FOLDER


def ready() -> WorkerReadiness:
    return WorkerReadiness(True)


def in_child(work: Callable[[], None]) -> int:
    """Runs `work` in a forked process, as a worker's are; its number."""
    process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os._exit(0)
    return process


def shown(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def shared() -> Iterator[WorkerMetrics]:
    """Metrics of a worker with child processes."""
    metrics = WorkerMetrics(shared=True)
    yield metrics
    metrics.close()


def families_of(metrics: WorkerMetrics) -> dict[str, tuple[str, str]]:
    """Type and help text of each metric."""
    return {family.name: (family.type, family.documentation) for family in metrics.registry.collect()}


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not (done := holds()) and time.monotonic() < until:
        time.sleep(0.01)
    return done


def test_shared_metrics_process_killed_before_its_first_count_is_left_out(shared: WorkerMetrics) -> None:
    Path(os.environ[SHARED_FOLDER], "counter_1.db").touch()
    shared.attempts.labels("inference").inc()
    assert shown(shared, "affect_attempts_total", queue="inference") == 1


def test_shared_metrics_killed_processes_stay_counted(shared: WorkerMetrics) -> None:
    def work() -> None:
        for _ in range(5):
            shared.attempts.labels("inference").inc()
            shared.queue_wait_seconds.labels("inference").observe(1.5)
        shared.batch_size.labels("face").observe(16)
        signal.pause()

    children = [in_child(work) for _ in range(3)]
    assert eventually(lambda: shown(shared, "affect_batch_size_count", model="face") == 3)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert shown(shared, "affect_attempts_total", queue="inference") == 15
    assert shown(shared, "affect_queue_wait_seconds_sum", queue="inference") == pytest.approx(22.5)
    assert shown(shared, "affect_batch_size_sum", model="face") == 48
    for name, labels in (("affect_attempts_created", {"queue": "inference"}), ("affect_faces_created", {})):
        created = shown(shared, name, **labels)
        assert created is not None and 0 <= time.time() - created < 600


def test_shared_metrics_without_a_scrape_do_not_hold_up_jobs(shared: WorkerMetrics) -> None:
    began = time.monotonic()
    for _ in range(20_000):
        shared.attempts_ended.labels("inference", "failed", "media_invalid").inc()
        shared.attempt_seconds.labels("inference", "failed").observe(1.0)
    assert time.monotonic() - began < 20
    counted = "affect_attempts_ended_total"
    assert shown(shared, counted, queue="inference", outcome="failed", code="media_invalid") == 20_000


def test_shared_metrics_have_the_names_types_and_help_of_unshared_ones(shared: WorkerMetrics) -> None:
    names = families_of(shared)
    assert len(names) > 15 and names["affect_attempts"] == ("counter", "Claimed jobs.")
    values.ValueClass = values.MutexValue
    unshared = WorkerMetrics()
    unshared_names = families_of(unshared)
    assert names == unshared_names


def test_shared_metrics_closed_leave_no_files() -> None:
    metrics = WorkerMetrics(shared=True)
    folder = Path(os.environ[SHARED_FOLDER])
    metrics.attempts.labels("io").inc()
    assert list(folder.iterdir())
    metrics.close()
    assert not folder.exists() and SHARED_FOLDER not in os.environ


def test_metrics_port_is_free_once_the_parent_has_exited_even_if_a_child_lives_on(shared: WorkerMetrics) -> None:
    port = shared.serve("127.0.0.1", 0, ready)

    def live_on() -> None:
        shared.close_inherited_socket()
        signal.pause()

    child = in_child(live_on)
    try:
        families = {
            family.name for family in text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{port}").text)
        }
        assert {"affect_attempts", "affect_stage_seconds", "affect_jobs_reaped"} <= families
        shared.close()
        again = WorkerMetrics()
        assert eventually(lambda: _serves(again, port))
        again.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serves(metrics: WorkerMetrics, port: int) -> bool:
    try:
        return metrics.serve("127.0.0.1", port, ready) == port
    except OSError:
        return False


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            "echo '0, 1024, 81559, 37'; echo '1, 0, 81559, [N/A]'",
            [Gpu("0", 2**30, 81559 * 2**20, 0.37), Gpu("1", 0, 81559 * 2**20, None)],
        ),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", []),
        ("echo 'No devices were found'", []),
    ],
)
def test_read_gpus_parses_nvidia_smi(
    script: str, found: list[Gpu], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\ncase "$*" in *--query-gpu=index,memory.used*) {script};; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read_gpus() == found
    metrics = WorkerMetrics()
    assert shown(metrics, "affect_gpu_busy_ratio", gpu="0") == (0.37 if found else None)


def test_read_gpus_without_nvidia_smi_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_gpus() == []

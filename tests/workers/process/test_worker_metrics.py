"""Counts of processes that may be killed, kept by their parent."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from workers.process.gpu import Gpu, read_gpus
from workers.process.metrics import WorkerMetrics


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


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not (done := holds()) and time.monotonic() < until:
        time.sleep(0.01)
    return done


def test_what_killed_processes_have_told_stays_counted() -> None:
    metrics = WorkerMetrics()

    def work() -> None:
        for _ in range(5):
            metrics.recorder.attempt("inference", 1.5)
        metrics.recorder.batch("face", 16)
        signal.pause()

    children = [in_child(work) for _ in range(3)]
    metrics.count()
    assert eventually(lambda: shown(metrics, "affect_batch_size_count", model="face") == 3)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert shown(metrics, "affect_attempts_total", queue="inference") == 15
    assert shown(metrics, "affect_queue_wait_seconds_sum", queue="inference") == pytest.approx(22.5)
    assert shown(metrics, "affect_batch_size_sum", model="face") == 48


def test_a_pipe_that_nobody_reads_holds_no_job_up() -> None:
    metrics = WorkerMetrics()
    began = time.monotonic()
    for _ in range(20_000):
        metrics.recorder.ended("inference", "failed", "media_invalid", 1.0)
    assert time.monotonic() - began < 20
    metrics.count()
    counted = "affect_attempts_ended_total"
    assert eventually(
        lambda: (shown(metrics, counted, queue="inference", outcome="failed", code="media_invalid") or 0) > 500
    )


def test_the_port_is_free_when_the_parent_has_gone_though_a_child_lives_on() -> None:
    metrics = WorkerMetrics()
    port = metrics.serve("127.0.0.1", 0)

    def live_on() -> None:
        metrics.leave_to_parent()
        signal.pause()

    child = in_child(live_on)
    try:
        families = {
            family.name for family in text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{port}").text)
        }
        assert {"affect_attempts", "affect_stage_seconds", "affect_jobs_reaped"} <= families
        assert metrics._server is not None
        metrics._server.shutdown()
        metrics._server.server_close()
        again = WorkerMetrics()
        assert eventually(lambda: _serves(again, port))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _serves(metrics: WorkerMetrics, port: int) -> bool:
    try:
        return metrics.serve("127.0.0.1", port) == port
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
def test_gpus_are_read_from_nvidia_smi(
    script: str, found: list[Gpu], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\ncase "$*" in *--query-gpu=index,memory.used*) {script};; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read_gpus() == found
    metrics = WorkerMetrics()
    assert shown(metrics, "affect_gpu_busy_ratio", gpu="0") == (0.37 if found else None)


def test_without_nvidia_smi_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_gpus() == []

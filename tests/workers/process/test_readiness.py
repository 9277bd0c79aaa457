"""What a worker's `/readyz` answers, and what the probe of a container makes of it."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.redis_server import redis_server
from workers.process import probe
from workers.process.metrics import WorkerMetrics
from workers.process.readiness import WorkerReadiness, read_readiness
from workers.protocol.records import BundleRejection, Heartbeat
from workers.protocol.store.worker_registry import WorkerRegistry

ROOT = Path(__file__).parents[3]
REJECTED = BundleRejection(digest=None, reason="the device cuda does not work: no CUDA-capable device is detected")


@pytest.fixture
def registry() -> Iterator[WorkerRegistry]:
    with redis_server() as url, Redis.from_url(url) as redis:
        yield WorkerRegistry(redis)


def heartbeat(process: int, host: str | None = None, **fields: object) -> Heartbeat:
    worker = f"{host or socket.gethostname()}:{process}"
    return Heartbeat(worker=worker, bundle="default").model_copy(update=fields)


def test_readiness_follows_the_heartbeats_of_own_processes(registry: WorkerRegistry) -> None:
    registry.heartbeat(heartbeat(os.getpid(), "another-host", loaded=True))
    registry.heartbeat(heartbeat(os.getppid(), loaded=True))
    assert read_readiness(registry) == WorkerReadiness(False, "The worker is starting.")
    registry.heartbeat(heartbeat(os.getpid()))
    assert read_readiness(registry) == WorkerReadiness(False, "The worker is loading its models.")
    registry.heartbeat(heartbeat(os.getpid(), refused=REJECTED))
    refused = read_readiness(registry)
    assert not refused.ready and REJECTED.reason in (refused.reason or "")
    registry.heartbeat(heartbeat(os.getpid(), loaded=True))
    assert read_readiness(registry) == WorkerReadiness(True)


def test_readiness_of_a_child_counts_and_old_models_are_still_served(registry: WorkerRegistry) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        registry.heartbeat(heartbeat(child.pid, loaded=True, refused=REJECTED))
        state = read_readiness(registry)
        assert state.ready and REJECTED.reason in (state.reason or "")
    finally:
        child.kill()
        child.wait()
    assert not read_readiness(registry).ready


@pytest.mark.slow
def test_readiness_without_redis_is_not_ready() -> None:
    with Redis(unix_socket_path="/nowhere") as redis:
        assert read_readiness(WorkerRegistry(redis)) == WorkerReadiness(False, "Redis does not answer.")


@pytest.fixture
def served() -> Iterator[Callable[[WorkerReadiness], str]]:
    """Serves a readiness; the address of the port."""
    metrics = WorkerMetrics()
    state = [WorkerReadiness(True)]
    address = f"http://127.0.0.1:{metrics.serve('127.0.0.1', 0, lambda: state[0])}"

    def serve(readiness: WorkerReadiness) -> str:
        state[0] = readiness
        return address

    yield serve
    metrics.close()


def test_metrics_port_answers_readiness_liveness_and_metrics(served: Callable[[WorkerReadiness], str]) -> None:
    address = served(WorkerReadiness(False, "The worker is loading its models."))
    loading = httpx.get(f"{address}/readyz")
    assert loading.status_code == 503
    assert loading.json() == {"status": "not ready", "reason": "The worker is loading its models."}
    assert httpx.get(f"{address}/livez").json() == {"status": "alive"}
    served(WorkerReadiness(True))
    assert httpx.get(f"{address}/readyz").json() == {"status": "ready"}
    assert "affect_attempts" in httpx.get(f"{address}/metrics").text


def run_probe(*arguments: str, **environment: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "workers.process.probe", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    return done.returncode, done.stdout.strip()


def test_probe_prints_the_reason_and_exits_with_1(served: Callable[[WorkerReadiness], str]) -> None:
    port = served(WorkerReadiness(False, "The worker is loading its models.")).rpartition(":")[2]
    assert run_probe(AFFECT_METRICS_PORT=port) == (1, "The worker is loading its models.")
    served(WorkerReadiness(True))
    assert run_probe(AFFECT_METRICS_PORT=port) == (0, "ready")


def test_probe_nothing_listens_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, reason = run_probe(f"http://127.0.0.1:{port}/readyz")
    assert code == 1 and "does not answer" in reason


def test_probe_accepts_missing_components(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = b'{"errors": [{"location": "workers", "message": "No worker is running."}]}'
    both = workers.replace(b"[", b'[{"location": "redis", "message": "Redis does not answer."},')
    accepted = frozenset({"workers"})
    assert probe._reason(workers, frozenset(), "") == "No worker is running."
    assert probe._reason(workers, accepted, "") is None
    assert probe._reason(both, accepted, "") == "Redis does not answer."
    assert probe._reason(b"<html>", accepted, "answers 502.") == "answers 502."


@pytest.mark.parametrize("value", ["tcp://10.0.0.1:9100", ""])
def test_probe_port_of_a_kubernetes_service_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AFFECT_METRICS_PORT", value)
    assert probe.metrics_port() == 9100


def test_probe_imports_the_standard_library_alone() -> None:
    program = "import sys, workers.process.probe; print([m for m in sys.modules if m in ('pydantic', 'redis')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""What Prometheus is told by a gateway: at its own port, of its queues and workers, and over several processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from app.settings import Settings
from tests.app.conftest import Gateway, OpenGateway, eventually
from tests.e2e.conftest import free_port
from workers.protocol.records import Heartbeat, ServedModel

ROOT = Path(__file__).parents[3]


def told(text: str) -> dict[tuple[str, str], float]:
    """Value by name and labels of each sample."""
    families: Iterable[Metric] = text_string_to_metric_families(text)
    return {
        (sample.name, ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_show_queues_workers_and_models(gateway: Gateway) -> None:
    face = ServedModel(role="face", name="face", version=3, labels=("happy",), metrics={}, licence=None)
    serving = Heartbeat(worker="a", bundle="default", digest="f" * 64, models=(face,), loaded=True)
    gateway.worker_registry.heartbeat(serving)
    gateway.worker_registry.heartbeat(Heartbeat(worker="b", kinds=("io",), bundle="none", loaded=True))
    gateway.made()
    gateway.made()
    queued = gateway.made()
    gateway.job_store.claim()
    gateway.client.post(f"/v1/jobs/{queued}/cancel").raise_for_status()

    found = told(gateway.client.get("/metrics").text)

    assert found["affect_redis_up", ""] == 1
    assert (found["affect_queue_depth", "queue=inference"], found["affect_queue_depth", "queue=io"]) == (1, 0)
    assert 0 < found["affect_queue_oldest_seconds", "queue=inference"] < 60
    assert found["affect_queue_oldest_seconds", "queue=io"] == 0
    assert (found["affect_jobs_running", ""], found["affect_jobs_created_total", ""]) == (1, 3)
    assert found["affect_jobs_cancelled_total", ""] == 1
    assert (found["affect_workers", "kind=inference"], found["affect_workers", "kind=io"]) == (1, 1)
    assert found["affect_model_workers", "model=face,role=face,version=3"] == 1
    assert found["affect_bundle_workers", "bundle=default,digest=ffffffffffff"] == 1
    assert found["affect_storage_free_bytes", ""] > 0
    assert found["affect_http_requests_total", "method=POST,route=/v1/jobs,status=202"] == 3
    assert not any("job_" in labels for _, labels in found if "{job_id}" not in labels)


def test_metrics_without_redis_show_gateway_only(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(redis_url="unix:///nowhere/redis.sock")
    found = told(gateway.client.get("/metrics").text)
    assert found["affect_redis_up", ""] == 0
    assert not any(name.startswith("affect_queue") for name, _ in found)


def test_metrics_port_moves_metrics(open_gateway: OpenGateway) -> None:
    port = free_port()
    gateway = open_gateway(metrics_port=port)
    assert gateway.client.get("/metrics").status_code == 404
    assert told(httpx.get(f"http://127.0.0.1:{port}/metrics").text)["affect_redis_up", ""] == 1
    assert "/metrics" not in gateway.client.get("/openapi.json").json()["paths"]


def test_metrics_port_with_several_processes_is_rejected() -> None:
    with pytest.raises(ValidationError, match="AFFECT_METRICS_PORT"):
        Settings(gateway_processes=2, metrics_port=9000)


@pytest.mark.slow
def test_metrics_several_processes_are_summed_without_dead_ones(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "AFFECT_REDIS_URL": redis_url,
        "AFFECT_DATA_DIR": str(tmp_path),
        "AFFECT_PORT": str(port),
        "AFFECT_GATEWAY_PROCESSES": "2",
        "TMPDIR": str(tmp_path),
    }
    gateway = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def alive() -> bool:
                try:
                    return client.get("/livez", headers={"Connection": "close"}).status_code == 200
                except httpx.TransportError:
                    return False

            assert eventually(alive, 60)

            def scraped() -> dict[tuple[str, str], float]:
                return told(client.get("/metrics", headers={"Connection": "close"}).text)

            before = scraped()["affect_http_requests_total", "method=GET,route=/livez,status=200"]
            with ThreadPoolExecutor(8) as pool:
                assert all(pool.map(lambda _: alive(), range(40)))
            key = ("affect_http_requests_total", "method=GET,route=/livez,status=200")
            assert {scraped()[key] for _ in range(6)} == {before + 40}
            (counts,) = tmp_path.glob("affect-metrics-*")
            of_the_dead = counts / f"gauge_livesum_{2**22 + 1}.db"  # beyond any process's number
            of_the_dead.touch()
            assert scraped()["affect_http_requests_in_progress", ""] == 1  # the scrape itself
            assert not of_the_dead.exists()
    finally:
        os.killpg(gateway.pid, signal.SIGTERM)
        gateway.wait(30)
    assert not list(tmp_path.glob("affect-metrics-*"))

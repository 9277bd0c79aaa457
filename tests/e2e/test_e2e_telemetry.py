"""What operators see of a job, from its POST to its result: logs of every process, metrics of the worker, and one trace
at an OTLP receiver. None of it holds what the caller sent."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests import media_files, toy_models
from tests.cluster import free_port, until
from tests.e2e.conftest import ROOT
from tests.redis_server import redis_server

NAME, WORDS, KEY, QUERY = "zebra-of-ann.mp4", "my zebra is called walnut", "key-zebra-0123456789", "zebra-query"
SECRET = base64.b64encode(b"walnut-of-the-zebra-0123456789ab").decode()
REQUEST_ID = "request-0123456789"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@dataclass
class Outside:
    """A server of loopback: an OTLP endpoint, a film behind a link, and a receiver of webhooks."""

    url: str
    film: bytes
    spans: list[tuple[str, Span]] = field(default_factory=list)
    """With the name of the service that sent each."""
    heard: list[bytes] = field(default_factory=list)
    """The webhooks."""


@contextmanager
def outside(film: bytes) -> Iterator[Outside]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(film)))
            self.end_headers()
            self.wfile.write(film)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                self._take_spans(body)
            else:
                there.heard.append(body)
            self.send_response(200)
            self.end_headers()

        def _take_spans(self, body: bytes) -> None:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {each.key: each.value.string_value for each in of_resource.resource.attributes}
                for of_scope in of_resource.scope_spans:
                    there.spans += [(named["service.name"], span) for span in of_scope.spans]

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there = Outside(f"http://127.0.0.1:{server.server_port}", film)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield there
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Seen:
    """After a job that succeeded, one that failed, and one of a link: what was left of them to see."""

    jobs: tuple[dict[str, Any], ...]
    written: str
    logs: dict[str, list[dict[str, Any]]]
    metrics: dict[tuple[str, str], float]
    types: dict[str, str]
    spans: list[tuple[str, Span]]

    def everything(self) -> str:
        return self.written + str(self.metrics) + str(self.spans)


@contextmanager
def running(module: str, log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Ended by SIGTERM, so that it may send what it still holds."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("telemetry")
    toy_models.make_store(folder / "store")
    video = media_files.make_video(folder / "x.mp4", seconds=2.0)
    port, worker_port = free_port(), free_port()
    with redis_server() as url, outside(video.read_bytes()) as there:
        environment = {
            **os.environ,
            "AFFECT_REDIS_URL": url,
            "AFFECT_DATA_DIR": str(folder / "data"),
            "AFFECT_MODEL_STORE": str(folder / "store"),
            "AFFECT_PORT": str(port),
            "AFFECT_API_KEYS": f"ann:{sha256(KEY.encode()).hexdigest()}",
            "AFFECT_TRACES": "true",
            "AFFECT_LOG_LEVEL": "DEBUG",
            "AFFECT_EGRESS_ALLOW": "127.0.0.0/8",
            "AFFECT_WEBHOOK_SECRETS": f"ann:whsec_{SECRET}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": there.url,
        }
        at_worker = environment | {"AFFECT_METRICS_PORT": str(worker_port)}
        with (
            running("app", folder / "app.log", environment),
            running("workers", folder / "workers.log", at_worker),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70) as client,
        ):
            until(lambda: is_ready(client), what="the service")
            client.headers.update({"Authorization": f"Bearer {KEY}", "X-Request-ID": REQUEST_ID})
            client.headers["traceparent"] = f"00-{TRACE_ID}-{PARENT_ID}-01"
            good = finished(client, {"file": (NAME, there.film)}, {"transcript": WORDS, "tag": "zebra-tag"})
            bad = finished(client, {"file": (NAME, b"\x89PNG\r\n\x1a\n" + b"zebra" * 9)}, {})
            told = {"url": f"{there.url}/{NAME}?{QUERY}", "webhook_url": f"{there.url}/zebra-hook?{QUERY}"}
            linked = finished(client, {}, told)
            until(lambda: there.heard, what="the webhook")
            delivered = 'affect_webhook_deliveries_total{outcome="delivered"}'
            until(lambda: delivered in exposed(worker_port), what="the delivery's count")
            text = exposed(worker_port)
        yield seen_of((good, bad, linked), folder, text, there)


def exposed(worker_port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{worker_port}/metrics").raise_for_status().text


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def finished(client: httpx.Client, files: dict[str, tuple[str, bytes]], data: dict[str, str]) -> dict[str, Any]:
    parts: dict[str, Any] = files | {name: (None, value) for name, value in data.items()}
    job = client.post(f"/v1/jobs?note={QUERY}", files=parts).raise_for_status().json()
    while job["status"] in ("queued", "running"):
        job = client.get(job["links"]["self"], params={"wait": 30}).raise_for_status().json()
    return dict(job)


def seen_of(jobs: tuple[dict[str, Any], ...], folder: Path, exposition: str, there: Outside) -> Seen:
    written = {name: (folder / f"{name}.log").read_text() for name in ("app", "workers")}
    logs = {
        name: [json.loads(line) for line in text.splitlines() if line.startswith("{")] for name, text in written.items()
    }
    families = list(text_string_to_metric_families(exposition))
    metrics = {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    return Seen(
        jobs,
        "".join(written.values()),
        logs,
        metrics,
        {family.name: family.type for family in families},
        there.spans,
    )


def test_every_line_of_ours_is_json_and_names_the_request_and_the_job(seen: Seen) -> None:
    good, bad, linked = seen.jobs
    assert (good["status"], bad["error"]["code"], linked["status"]) == ("succeeded", "media_invalid", "succeeded")
    for name, service in (("app", "gateway"), ("workers", "worker")):
        assert {line["service"] for line in seen.logs[name]} == {service}
        about = [line for line in seen.logs[name] if (line.get("job_id"), line["level"]) == (good["id"], "info")]
        assert about and all(line["request_id"] == REQUEST_ID for line in about)
    ended = [line for line in seen.logs["workers"] if line["message"].startswith("attempt 1 ended")]
    assert [(line["job_id"], line["message"], line.get("code")) for line in ended] == [
        (good["id"], "attempt 1 ended: succeeded", None),
        (bad["id"], "attempt 1 ended: failed", "media_invalid"),
        (linked["id"], "attempt 1 ended: passed_on", None),
        (linked["id"], "attempt 1 ended: succeeded", None),
    ]
    assert {line["trace_id"] for line in ended} == {TRACE_ID}


def test_nothing_that_the_caller_sent_is_to_be_seen(seen: Seen) -> None:
    everything = seen.everything()
    assert seen.jobs[0]["id"] in everything  # it is the right place to look
    for secret in ("zebra", "walnut", KEY, QUERY, SECRET, sha256(KEY.encode()).hexdigest()):
        assert secret not in everything


def test_the_parent_counts_what_its_forked_process_does(seen: Seen) -> None:
    found = seen.metrics
    assert found["affect_attempts_total", "queue=inference"] == 3
    assert found["affect_attempts_ended_total", "code=,outcome=succeeded,queue=inference"] == 2
    assert found["affect_attempts_ended_total", "code=,outcome=passed_on,queue=io"] == 1
    assert found["affect_webhook_deliveries_total", "outcome=delivered"] == 1
    assert found["affect_attempts_ended_total", "code=media_invalid,outcome=failed,queue=inference"] == 1
    assert found["affect_queue_wait_seconds_count", "queue=inference"] == 3
    assert found["affect_stage_seconds_count", "stage=write"] == 2
    assert found["affect_stage_seconds_count", "stage=probe"] == 3
    assert found["affect_media_analysed_total", "kind=video"] == 2
    assert found["affect_media_analysed_seconds_total", "kind=video"] == pytest.approx(4, abs=0.4)
    assert found["affect_real_time_factor_count", "kind=video"] == 2
    assert found["affect_batch_size_count", "model=fusion"] >= 1
    assert not any("job_" in labels for _, labels in found)
    kinds = {name: kind for name, kind in seen.types.items() if name.startswith("affect_")}
    assert set(kinds.values()) <= {"counter", "gauge", "histogram"}


def test_one_trace_leads_from_the_post_through_the_queue_to_the_stages(seen: Seen) -> None:
    good = seen.jobs[0]["id"]
    spans = {span.span_id: (service, span) for service, span in seen.spans}
    (job,) = [
        span
        for service, span in seen.spans
        if any(each.key == "affect.job" and each.value.string_value == good for each in span.attributes)
    ]
    assert job.trace_id.hex() == TRACE_ID and job.name == "job inference"
    service, post = spans[job.parent_span_id]
    assert (service, post.name, post.parent_span_id.hex()) == ("affect-gateway", "POST /v1/jobs", PARENT_ID)
    within = [span for _, span in seen.spans if span.parent_span_id == job.span_id]
    names = [span.name for span in sorted(within, key=lambda span: span.start_time_unix_nano)]
    assert names[:3] == ["queue", "probe", "decode"] and names[-2:] == ["fuse", "write"]
    for span in within:
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= job.end_time_unix_nano

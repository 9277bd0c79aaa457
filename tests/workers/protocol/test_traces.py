"""Traces: off, nothing is imported; on, the spans of a job hang together."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from workers.jobs.telemetry import Attempt, Witness
from workers.protocol.observability.tracing import traces_of
from workers.protocol.records import Claim, RequestOrigin
from workers.protocol.settings import SharedSettings

ROOT = Path(__file__).parents[3]
CLAIM = Claim(job_id="job_1", token=1, attempt=2, waited_seconds=2.0)


@pytest.mark.parametrize("module", ["app.main", "workers.process.celery_app"])
def test_off_nothing_of_opentelemetry_is_imported(module: str) -> None:
    """By us: redis-py looks for its API by itself, where it is installed."""
    code = (
        f"import sys, {module}; from workers.protocol.settings import SharedSettings;"
        "from workers.protocol.observability.tracing import traces_of; traces_of('x', SharedSettings()).begin('a').child('b').end();"
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'workers.protocol.observability.otel');"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_attempt_continues_the_trace_of_its_request_and_holds_queue_and_stages() -> None:
    sent = InMemorySpanExporter()
    traces = traces_of("worker", SharedSettings(traces=True), sent)
    post = traces.begin("POST", "server")
    post.named("POST /v1/jobs")
    with Attempt(CLAIM, "inference", Witness(traces=traces)) as attempt:
        attempt.continues(RequestOrigin(request_id="r", traceparent=post.traceparent))
        attempt.stage("probe")
        attempt.stage("decode")
        attempt.outcome, attempt.code = "failed", "media_invalid"
    post.end()
    traces.close()

    spans = {span.name: span for span in sent.get_finished_spans()}
    assert list(spans) == ["queue", "probe", "decode", "job inference", "POST /v1/jobs"]
    job, queue = spans["job inference"], spans["queue"]
    assert {span.context.trace_id for span in spans.values()} == {spans["POST /v1/jobs"].context.trace_id}
    assert job.parent.span_id == spans["POST /v1/jobs"].context.span_id
    assert {spans[name].parent.span_id for name in ("queue", "probe", "decode")} == {job.context.span_id}
    assert 2e9 <= queue.end_time - queue.start_time < 3e9
    assert spans["probe"].end_time <= spans["decode"].start_time
    assert (job.status.status_code, job.attributes["error.type"]) == (StatusCode.ERROR, "media_invalid")
    assert job.attributes["affect.attempt"] == 2 and job.resource.attributes["service.name"] == "affect-worker"


def test_a_traceparent_that_is_none_begins_a_trace_of_its_own() -> None:
    sent = InMemorySpanExporter()
    traces = traces_of("gateway", SharedSettings(traces=True), sent)
    traces.begin("GET", "server", "00-nonsense").end()
    traces.close()
    (span,) = sent.get_finished_spans()
    assert span.parent is None and span.context.trace_id


def test_its_name_and_attributes_may_be_said_by_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=trial")
    sent = InMemorySpanExporter()
    traces = traces_of("gateway", SharedSettings(traces=True), sent)
    traces.begin("GET").end()
    traces.close()
    (span,) = sent.get_finished_spans()
    assert span.resource.attributes["service.name"] == "ours"
    assert span.resource.attributes["deployment.environment"] == "trial"

"""Traces: without them the SDK is not imported; with them the spans of a job belong together."""

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from workers.jobs.telemetry import AttemptTelemetry, Telemetry
from workers.protocol.observability.tracing import Tracing, make_tracing, trace_id_of, traceparent_of
from workers.protocol.records import Claim, RequestOrigin
from workers.protocol.settings import SharedSettings

ROOT = Path(__file__).parents[4]
CLAIM = Claim(job_id="job_1", token=1, attempt=2, waited_seconds=2.0)
TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"


@pytest.mark.parametrize("module", ["app.main", "workers.process.celery_app"])
def test_make_tracing_off_does_not_import_the_sdk(module: str) -> None:
    code = (
        f"import sys, {module}; from workers.protocol.settings import SharedSettings;"
        "from workers.protocol.observability.tracing import make_tracing; t = make_tracing('x', SharedSettings());"
        "t.start_child(t.start_span('a'), 'b').end();"
        "sdk = ('opentelemetry.sdk.trace', 'opentelemetry.exporter');"
        "print([name for name in sys.modules if name.startswith(sdk)])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_tracing_off_continues_no_trace() -> None:
    tracing = Tracing()
    span = tracing.start_span("GET", SpanKind.SERVER, TRACEPARENT)
    for each in (span, tracing.start_child(span, "queue", 0.0)):
        assert traceparent_of(each) is None and trace_id_of(each) is None
        each.end()
    tracing.shut_down()


def test_attempt_telemetry_continues_the_trace_of_its_request_with_queue_and_stages() -> None:
    sent = InMemorySpanExporter()
    tracing = make_tracing("worker", SharedSettings(traces=True), sent)
    post = tracing.start_span("POST", SpanKind.SERVER)
    post.update_name("POST /v1/jobs")
    with AttemptTelemetry(CLAIM, "inference", Telemetry(tracing=tracing)) as attempt:
        attempt.join_trace(RequestOrigin(request_id="r", traceparent=traceparent_of(post)))
        attempt.start_stage("probe")
        attempt.start_stage("decode")
        attempt.outcome, attempt.failure_code = "failed", "media_invalid"
    post.end()
    tracing.shut_down()

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


def test_start_span_continues_a_traceparent() -> None:
    sent = InMemorySpanExporter()
    tracing = make_tracing("gateway", SharedSettings(traces=True), sent)
    tracing.start_span("GET", SpanKind.SERVER, TRACEPARENT).end()
    tracing.shut_down()
    (span,) = sent.get_finished_spans()
    assert (span.context.trace_id, span.parent.span_id) == (int("1" * 32, 16), int("2" * 16, 16))


def test_start_span_with_an_invalid_traceparent_begins_a_trace() -> None:
    sent = InMemorySpanExporter()
    tracing = make_tracing("gateway", SharedSettings(traces=True), sent)
    tracing.start_span("GET", SpanKind.SERVER, "00-nonsense").end()
    tracing.shut_down()
    (span,) = sent.get_finished_spans()
    assert span.parent is None and span.context.trace_id


def test_make_tracing_reads_name_and_attributes_from_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=trial")
    sent = InMemorySpanExporter()
    tracing = make_tracing("gateway", SharedSettings(traces=True), sent)
    tracing.start_span("GET").end()
    tracing.shut_down()
    (span,) = sent.get_finished_spans()
    assert span.resource.attributes["service.name"] == "ours"
    assert span.resource.attributes["deployment.environment"] == "trial"

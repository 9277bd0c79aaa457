"""Traces by the OpenTelemetry API. They are off unless `AFFECT_TRACES` is set; the SDK is not imported until then.

One trace follows a job from its request through the queue to its stages. Between processes it travels as a
`traceparent` (W3C Trace Context), stored with the job. The standard variables configure where spans are sent:
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
`OTEL_TRACES_SAMPLER` and others.
"""

import os
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import (
    NoOpTracer,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from workers.protocol.settings import SharedSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_w3c = TraceContextTextMapPropagator()


class Tracing:
    """Tracer of a process; without a provider of the SDK, a no-op."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("affect") if provider else NoOpTracer()

    def start_span(self, name: str, kind: SpanKind = SpanKind.INTERNAL, traceparent: str | None = None) -> Span:
        """Start a span of the trace that `traceparent` names, or of a new trace if that is missing or invalid."""
        carrier = {"traceparent": traceparent} if traceparent and self._provider else {}
        return self._tracer.start_span(name, _w3c.extract(carrier, Context()), kind)

    def start_child(self, parent: Span, name: str, started: float | None = None) -> Span:
        """Start a span within another. `started`: seconds since 1970; now by default."""
        start_time = None if started is None else int(started * 1e9)
        return self._tracer.start_span(name, set_span_in_context(parent, Context()), start_time=start_time)

    def shut_down(self) -> None:
        """Send the remaining spans."""
        if self._provider:
            self._provider.shutdown()


def make_tracing(service: str, settings: SharedSettings, exporter: "SpanExporter | None" = None) -> Tracing:
    """Create the tracing of a process that does not fork any more, because a thread sends the spans.

    Without an `exporter`, spans are sent by OTLP over HTTP. Raises ImportError if traces are on and the extra
    `telemetry` is not installed.
    """
    if not settings.traces:
        return Tracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    attributes = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"affect-{service}"}
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return Tracing(provider)


def traceparent_of(span: Span) -> str | None:
    """Return the `traceparent` by which another process continues the trace; None if traces are off."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def trace_id_of(span: Span) -> str | None:
    """Return the id of the span's trace; None if traces are off."""
    context = span.get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


def mark_failed(span: Span, code: str) -> None:
    """Mark a span as failed with an error code."""
    span.set_status(Status(StatusCode.ERROR, code))
    span.set_attribute("error.type", code)

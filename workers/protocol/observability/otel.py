"""Traces sent by OpenTelemetry. Where they go is said by the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, …"""

import os

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Span as Recorded,
)
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from workers.protocol.observability.tracing import Attribute, Kind, Span, Traces

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
_w3c = TraceContextTextMapPropagator()


class SentTraces(Traces):
    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"affect-{service}"}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("affect")

    def begin(self, name: str, kind: Kind = "internal", parent: str | None = None) -> Span:
        within = _w3c.extract({"traceparent": parent} if parent else {}, Context())
        return _SentSpan(self._tracer, self._tracer.start_span(name, within, _KINDS[kind]))

    def close(self) -> None:
        self._provider.shutdown()


class _SentSpan(Span):
    def __init__(self, tracer: Tracer, span: Recorded) -> None:
        self._tracer, self._span = tracer, span
        carrier: dict[str, str] = {}
        _w3c.inject(carrier, set_span_in_context(span, Context()))
        self.traceparent = carrier.get("traceparent")
        self.trace_id = format_trace_id(span.get_span_context().trace_id)

    def child(self, name: str, began: float | None = None) -> Span:
        within = set_span_in_context(self._span, Context())
        start = None if began is None else int(began * 1e9)
        return _SentSpan(self._tracer, self._tracer.start_span(name, within, start_time=start))

    def named(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: dict[str, Attribute]) -> None:
        self._span.set_attributes(attributes)

    def failed(self, code: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, code))
        self._span.set_attribute("error.type", code)

    def end(self) -> None:
        self._span.end()

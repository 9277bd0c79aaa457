"""Traces, off unless `AFFECT_TRACES` is set: nothing of OpenTelemetry is imported until then.

One trace follows a job from its POST through the queue to the stages. Between processes it travels as a `traceparent`
(W3C Trace Context), kept with the job.
"""

from typing import TYPE_CHECKING, Literal

from workers.protocol.settings import SharedSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Kind = Literal["internal", "server", "consumer"]
Attribute = str | int | float


class Span:
    """A step under way. This one, of traces that are off, does nothing."""

    traceparent: str | None = None
    """What another process continues it by."""
    trace_id: str | None = None

    def child(self, name: str, began: float | None = None) -> "Span":
        """A step within this one. `began` in seconds since 1970; now by default."""
        return self

    def named(self, name: str) -> None:
        """Another name, now that a better one is known."""

    def note(self, attributes: dict[str, Attribute]) -> None:
        return None

    def failed(self, code: str) -> None:
        return None

    def end(self) -> None:
        return None


class Traces:
    """Begins spans. This one is off."""

    def begin(self, name: str, kind: Kind = "internal", parent: str | None = None) -> Span:
        """A step of the trace that `parent` (a traceparent) names, or of a new one."""
        return Span()

    def close(self) -> None:
        """Sends what is still here."""


def traces_of(service: str, settings: SharedSettings, exporter: "SpanExporter | None" = None) -> Traces:
    """Of a process that forks no more: a thread sends the spans, by OTLP where no exporter is given. Raises ImportError
    without the extra `telemetry`."""
    if not settings.traces:
        return Traces()
    from workers.protocol.observability.otel import SentTraces

    return SentTraces(service, exporter)

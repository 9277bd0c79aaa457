"""Telemetry of one attempt at a job: log lines, metrics, and the spans of its trace."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from ml.results import Result
from ml.vocabulary import Stage
from workers.process.metrics import WorkerMetrics
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import Tracing, mark_failed, trace_id_of
from workers.protocol.records import Claim, JobStatus, RequestOrigin, WorkerKind

logger = logging.getLogger(__name__)

OutcomeLabel = JobStatus | Literal["passed_on", "split", "observed", "handed_back", "lost", "broken"]
"""Outcome of an attempt in metrics, traces and logs: the final state of the job, or why it has none. `passed_on`: the
job continues in another queue; `split`: it continues in parts; `observed`: one of its parts is complete; `handed_back`:
it was requeued; `lost`: another worker holds the lease; `broken`: Redis did not answer."""


@dataclass(frozen=True)
class Telemetry:
    """Telemetry sinks of a worker process: metrics and traces."""

    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    tracing: Tracing = field(default_factory=Tracing)


class AttemptTelemetry:
    """Telemetry of one attempt, from claim to outcome. A stage ends when the next one starts."""

    def __init__(self, claim: Claim, queue: WorkerKind, telemetry: Telemetry) -> None:
        self._claim, self._queue = claim, queue
        self._metrics, self._tracing = telemetry.metrics, telemetry.tracing
        self._started = time.monotonic()
        self._log_context = ExitStack()
        self._span: Span = INVALID_SPAN
        self._stage: tuple[Stage, float, Span] | None = None
        self._last_stage: Stage | None = None
        self._stage_seconds: dict[Stage, float] = {}
        self.outcome: OutcomeLabel = "broken"
        self.failure_code = ""

    def __enter__(self) -> Self:
        self._log_context.enter_context(logs.log_context(job_id=self._claim.job_id))
        self._metrics.attempts.labels(self._queue).inc()
        self._metrics.queue_wait_seconds.labels(self._queue).observe(self._claim.waited_seconds)
        return self

    def join_trace(self, origin: RequestOrigin) -> None:
        """Continue the trace of the request that created the job."""
        claim = self._claim
        self._span = self._tracing.start_span(f"job {self._queue}", SpanKind.CONSUMER, origin.traceparent)
        self._span.set_attributes(
            {"affect.job": claim.job_id, "affect.queue": self._queue, "affect.attempt": claim.attempt}
        )
        self._tracing.start_child(self._span, "queue", time.time() - claim.waited_seconds).end()
        self._log_context.enter_context(
            logs.log_context(request_id=origin.request_id, trace_id=trace_id_of(self._span))
        )
        logger.info("attempt %d started", claim.attempt, extra={"fields": {"waited": round(claim.waited_seconds, 3)}})

    def start_stage(self, stage: Stage) -> None:
        self._end_stage()
        self._stage = (stage, time.monotonic(), self._tracing.start_child(self._span, stage))

    def set_stage_seconds(self, stage: Stage, seconds: float) -> None:
        """Set the duration of a stage that may have run concurrently with the stage before it."""
        self._stage_seconds[stage] = seconds

    def record_result(self, result: Result) -> None:
        """Count an analysed file. The real-time factor is recorded only if the job was not split into parts."""
        kind, duration = result.media.kind, result.media.duration
        self._metrics.media_analysed.labels(kind).inc()
        self._metrics.faces.inc(sum(len(track.frames) for track in result.faces))
        if duration:
            self._metrics.media_analysed_seconds.labels(kind).inc(duration)
            if not self._claim.part_tokens:
                self._metrics.real_time_factor.labels(kind).observe((time.monotonic() - self._started) / duration)

    def _end_stage(self) -> None:
        if self._stage is not None:
            stage, started, span = self._stage
            self._stage, self._last_stage = None, stage
            seconds = self._stage_seconds.pop(stage, time.monotonic() - started)
            self._metrics.stage_seconds.labels(stage).observe(seconds)
            span.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage()
        seconds = time.monotonic() - self._started
        self._metrics.attempts_ended.labels(self._queue, self.outcome, self.failure_code).inc()
        self._metrics.attempt_seconds.labels(self._queue, self.outcome).observe(seconds)
        if self.failure_code:
            mark_failed(self._span, self.failure_code)
        self._span.set_attribute("affect.outcome", self.outcome)
        self._span.end()
        fields = {"seconds": round(seconds, 3), "stage": self._last_stage, "code": self.failure_code}
        present = {name: value for name, value in fields.items() if value}
        logger.info("attempt %d ended: %s", self._claim.attempt, self.outcome, extra={"fields": present})
        self._log_context.close()

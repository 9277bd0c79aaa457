"""What is told of one attempt at a job: log lines, metrics, and the spans of its trace."""

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from ml.results import Result
from ml.vocabulary import Stage
from workers.process.metrics import Recorder
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import Span, Traces
from workers.protocol.records import Claim, JobStatus, Origin, WorkerKind

logger = logging.getLogger(__name__)

Outcome = JobStatus | Literal["passed_on", "split", "observed", "handed_back", "lost", "broken"]
"""How an attempt ended: the job's final state, or why it has none. `split`: it goes on in parts; `observed`: one of
these is done; `broken`: the job store did not answer."""


@dataclass(frozen=True)
class Witness:
    """Whom a worker process tells of its work."""

    recorder: Recorder = field(default_factory=Recorder)
    traces: Traces = field(default_factory=Traces)


class Attempt:
    """One attempt, from claim to outcome. Stages follow one another: one ends when the next begins."""

    def __init__(self, claim: Claim, queue: WorkerKind, witness: Witness) -> None:
        self._claim, self._queue, self._witness = claim, queue, witness
        self._began = time.monotonic()
        self._about = ExitStack()
        self._span = Span()
        self._stage: tuple[Stage, float, Span] | None = None
        self._last: Stage | None = None
        self._spent: dict[Stage, float] = {}
        self.outcome: Outcome = "broken"
        self.code = ""
        """Of a failure."""

    def __enter__(self) -> Self:
        self._about.enter_context(logs.about(job_id=self._claim.job_id))
        self._witness.recorder.attempt(self._queue, self._claim.waited)
        return self

    def continues(self, origin: Origin) -> None:
        """The attempt belongs to what a request began."""
        claim = self._claim
        self._span = self._witness.traces.begin(f"job {self._queue}", "consumer", origin.traceparent)
        self._span.note({"affect.job": claim.job_id, "affect.queue": self._queue, "affect.attempt": claim.attempt})
        self._span.child("queue", time.time() - claim.waited).end()
        self._about.enter_context(logs.about(request_id=origin.request_id, trace_id=self._span.trace_id))
        logger.info("attempt %d begins", claim.attempt, extra={"fields": {"waited": round(claim.waited, 3)}})

    def stage(self, stage: Stage) -> None:
        self._end_stage()
        self._stage = (stage, time.monotonic(), self._span.child(stage))

    def spent(self, stage: Stage, seconds: float) -> None:
        """The work of a stage took so long, whoever did it: it may have been beside the stage before."""
        self._spent[stage] = seconds

    def analysed(self, result: Result) -> None:
        """This attempt, or its parts and then this one, have come to a result."""
        seconds = None if self._claim.parts else time.monotonic() - self._began
        self._witness.recorder.analysed(result, seconds)

    def _end_stage(self) -> None:
        if self._stage is not None:
            stage, began, span = self._stage
            self._stage, self._last = None, stage
            self._witness.recorder.stage(stage, self._spent.pop(stage, time.monotonic() - began))
            span.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage()
        seconds = time.monotonic() - self._began
        self._witness.recorder.ended(self._queue, self.outcome, self.code, seconds)
        if self.code:
            self._span.failed(self.code)
        self._span.note({"affect.outcome": self.outcome})
        self._span.end()
        fields = {"seconds": round(seconds, 3), "stage": self._last, "code": self.code}
        told = {name: value for name, value in fields.items() if value}
        logger.info("attempt %d ends: %s", self._claim.attempt, self.outcome, extra={"fields": told})
        self._about.close()

"""Prometheus metrics of a worker, shown by its parent process on a port of its own.

The processes that work are forked and may be killed at any moment, so they keep no counts: each observation is one line
in a pipe to the parent, which counts. A dead process leaves nothing behind, and no count ever falls.
"""

import json
import logging
import os
import threading
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.process_collector import ProcessCollector

from ml.results import Result
from ml.vocabulary import Stage
from workers.process.gpu import GpuCollector
from workers.protocol.records import JobStatus, WorkerKind

logger = logging.getLogger(__name__)

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600)
_RATIO = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Recorder:
    """Tells of what happens in a process that works. Never waits and never raises: what does not fit is not told.

    This one tells nobody.
    """

    def _tell(self, metric: str, value: float, *labels: str) -> None:
        return None

    def attempt(self, queue: WorkerKind, waited: float) -> None:
        """A job was claimed after so many seconds in the queue."""
        self._tell("attempts", 1, queue)
        self._tell("wait", waited, queue)

    def ended(self, queue: WorkerKind, outcome: str, code: str, seconds: float) -> None:
        """The attempt's outcome, and the code of a failure."""
        self._tell("outcomes", 1, queue, outcome, code)
        self._tell("attempt_seconds", seconds, queue, outcome)

    def stage(self, stage: Stage, seconds: float) -> None:
        self._tell("stages", seconds, stage)

    def analysed(self, result: Result, seconds: float | None) -> None:
        """A whole analysis, and what it took; null where it was done in parts."""
        self._tell("media", 1, result.media.kind)
        self._tell("faces", sum(len(track.frames) for track in result.faces))
        if result.media.duration:
            self._tell("media_seconds", result.media.duration, result.media.kind)
            if seconds is not None:
                self._tell("real_time_factor", seconds / result.media.duration, result.media.kind)

    def batch(self, model: str, size: int) -> None:
        """So many inputs went through a model at once."""
        self._tell("batches", size, model)

    def delivery(self, outcome: str, seconds: float) -> None:
        """An attempt to deliver a webhook."""
        self._tell("deliveries", 1, outcome)
        self._tell("delivery_seconds", seconds)


class PipeRecorder(Recorder):
    """Writes to the parent's pipe: a line shorter than PIPE_BUF is written whole or not at all, whoever else writes."""

    def __init__(self, write_end: int) -> None:
        os.set_blocking(write_end, False)
        self._pipe = write_end

    def _tell(self, metric: str, value: float, *labels: str) -> None:
        line = json.dumps([metric, value, *labels]) + "\n"
        try:
            os.write(self._pipe, line.encode())
        except OSError as error:  # the pipe is full, or the parent dead
            logger.debug("a metric is lost: %s", error.strerror)


class WorkerMetrics:
    """The parent's counts. Made before it forks; `serve` and `reaped` are the parent's alone."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(GpuCollector())
        self._all: dict[str, Counter | Histogram] = {
            "attempts": Counter("affect_attempts", "Jobs claimed.", ["queue"], registry=registry),
            "wait": Histogram(
                "affect_queue_wait_seconds",
                "Seconds that a job stood in its queue.",
                ["queue"],
                buckets=_SECONDS,
                registry=registry,
            ),
            "outcomes": Counter(
                "affect_attempts_ended",
                "Attempts ended: final state or reason, and code of a failure.",
                ["queue", "outcome", "code"],
                registry=registry,
            ),
            "attempt_seconds": Histogram(
                "affect_attempt_seconds",
                "Seconds from claim to outcome.",
                ["queue", "outcome"],
                buckets=_SECONDS,
                registry=registry,
            ),
            "stages": Histogram(
                "affect_stage_seconds", "Seconds of a stage.", ["stage"], buckets=_SECONDS, registry=registry
            ),
            "media": Counter("affect_media_analysed", "Files analysed.", ["kind"], registry=registry),
            "media_seconds": Counter(
                "affect_media_analysed_seconds", "Seconds of media analysed.", ["kind"], registry=registry
            ),
            "real_time_factor": Histogram(
                "affect_real_time_factor",
                "Seconds of work for one second of media, of recordings that were not done in parts.",
                ["kind"],
                buckets=_RATIO,
                registry=registry,
            ),
            "faces": Counter("affect_faces", "Faces read, one for each frame.", registry=registry),
            "batches": Histogram(
                "affect_batch_size", "Inputs of one forward.", ["model"], buckets=_SIZES, registry=registry
            ),
            "deliveries": Counter(
                "affect_webhook_deliveries", "Attempts to deliver a webhook.", ["outcome"], registry=registry
            ),
            "delivery_seconds": Histogram(
                "affect_webhook_delivery_seconds",
                "Seconds of an attempt to deliver a webhook.",
                buckets=_SECONDS,
                registry=registry,
            ),
        }
        self._reaped = Counter(
            "affect_jobs_reaped",
            "Jobs taken from dead workers, by the state that they came to.",
            ["status"],
            registry=registry,
        )
        for status in ("queued", "failed", "cancelled"):
            self._reaped.labels(status)  # 0 from the start, so that the first is seen as a rise
        self._read_end, write_end = os.pipe()
        self.recorder = PipeRecorder(write_end)
        self._server: WSGIServer | None = None

    def reaped(self, status: JobStatus) -> None:
        self._reaped.labels(status).inc()

    def count(self) -> None:
        """Counts what the processes tell, from a thread of its own."""
        threading.Thread(target=self._count, name="metrics", daemon=True).start()

    def serve(self, host: str, port: int) -> int:
        """Shows the metrics; the port, chosen by the system for 0. Raises OSError when it is taken."""
        self._server, _ = start_http_server(port, host, self.registry)
        return int(self._server.server_port)

    def leave_to_parent(self) -> None:
        """Of a forked process: the port must not outlive the parent."""
        if self._server is not None:
            self._server.socket.close()

    def _count(self) -> None:
        with os.fdopen(self._read_end) as lines:
            for line in lines:
                metric, value, *labels = json.loads(line)
                self._add(self._all[metric], value, labels)

    @staticmethod
    def _add(metric: Counter | Histogram, value: float, labels: list[str]) -> None:
        one = metric.labels(*labels) if labels else metric
        if isinstance(one, Histogram):
            one.observe(value)
        else:
            one.inc(value)

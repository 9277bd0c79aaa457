"""Lease of a claimed job, renewed from a background thread while the job runs."""

import logging
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from redis import RedisError

from ml.errors import Cancelled, ProcessingTimeout
from ml.vocabulary import Stage
from workers.jobs.telemetry import AttemptTelemetry
from workers.protocol.records import Claim
from workers.protocol.store.job_store import JobStore, LeaseLost

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_SECONDS = 0.5
"""Maximum seconds between two progress reports to the job store."""


class StopSignal(Protocol):
    """Interface shared by `threading.Event` and `workers.process.celery_app.SharedFlag`."""

    def is_set(self) -> bool: ...


class ShuttingDown(Cancelled):
    """The worker is shutting down: its job is requeued for another worker."""


class Lease:
    """Lease of one claim. Also the progress listener of the job's analysis.

    A background thread renews the lease several times before it expires, even while the main thread is busy in a
    forward pass, and reports stage and progress. `check` raises `Cancelled` if the caller cancelled the job,
    `LeaseLost` if the job belongs to another worker, `ShuttingDown` if the worker stops, and `ProcessingTimeout` if the
    attempt exceeds its time limit.
    """

    def __init__(
        self,
        job_store: JobStore,
        claim: Claim,
        telemetry: AttemptTelemetry,
        *,
        lease_seconds: float,
        time_limit: float,
        stopping: StopSignal,
    ) -> None:
        self.telemetry = telemetry
        self.current_stage: Stage | None = None
        self._job_store, self._claim, self._stopping = job_store, claim, stopping
        self._interval = min(lease_seconds / 3, PROGRESS_INTERVAL_SECONDS)
        self._time_limit = time_limit
        self._deadline = time.monotonic() + time_limit
        self._progress = 0.0
        self._cancelled = self._lost = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew_loop, name="lease", daemon=True)

    def stage(self, stage: Stage) -> None:
        self.current_stage = stage
        self.telemetry.start_stage(stage)

    def spent(self, stage: Stage, seconds: float) -> None:
        self.telemetry.set_stage_seconds(stage, seconds)

    def progress(self, fraction: float) -> None:
        self._progress = fraction

    def check(self) -> None:
        if self._lost:
            raise LeaseLost("The job belongs to another worker now.")
        if self._cancelled:
            raise Cancelled("The job was cancelled.", stage=self.current_stage)
        if self._stopping.is_set():
            raise ShuttingDown("The worker is shutting down.", stage=self.current_stage)
        if time.monotonic() > self._deadline:
            message = f"The analysis took more than {self._time_limit:g} seconds."
            raise ProcessingTimeout(message, stage=self.current_stage)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()

    def _renew_loop(self) -> None:
        while not self._released.wait(self._interval):
            try:
                self._cancelled = self._job_store.renew(self._claim, self.current_stage, self._progress)
            except LeaseLost:
                self._lost = True
                return
            except RedisError:
                logger.warning("Redis is unavailable; retrying to renew the lease")

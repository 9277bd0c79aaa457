"""Base of the job runners: claim a job, run attempts at it, record the outcome, clean up."""

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from redis import RedisError

from ml.errors import Cancelled, FetchFailed
from workers.jobs.failures import failure_of
from workers.jobs.lease import Lease, ShuttingDown, StopSignal
from workers.jobs.telemetry import AttemptTelemetry, Telemetry
from workers.protocol.blob_keys import job_prefix, media_prefix, parts_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError, is_out_of_space
from workers.protocol.records import FINAL_STATUSES, Claim, Failure, JobRequest, JobStatus, WorkerKind
from workers.protocol.settings import LEASE_SECONDS
from workers.protocol.store.job_store import JobStore, LeaseLost

logger = logging.getLogger(__name__)

MAX_CONCURRENT_RUN_SECONDS = 3.0
"""Maximum seconds to keep claiming small jobs before yielding to other queues."""
SMALL_JOBS_INTERVAL_SECONDS = 0.5
"""Seconds between two searches for small jobs while a long one runs."""


class RequestLost(FetchFailed):
    """The blob store no longer has the job's request (options, URL)."""


@dataclass(frozen=True)
class RunnerConfig:
    """Configuration of a job runner.

    `attempt_seconds`: time limit of one attempt. `stopping`: set when the worker shuts down. `has_room`: returns
    whether the disks that jobs need have free space. `storage_backoff_seconds`: pause after a storage failure.
    `max_concurrent`: maximum number of small jobs that run at once. `max_per_owner`: maximum number of downloads of one
    owner that run at once; 0 for any number.
    """

    lease_seconds: float = LEASE_SECONDS
    attempt_seconds: float = math.inf
    stopping: StopSignal = field(default_factory=threading.Event)
    telemetry: Telemetry = field(default_factory=Telemetry)
    has_room: Callable[[], bool] = lambda: True
    storage_backoff_seconds: float = 5.0
    max_concurrent: int = 1
    max_per_owner: int = 0


@dataclass(frozen=True)
class Completed:
    """The job has succeeded. `keeps_media`: its media is not deleted."""

    keeps_media: bool = False


@dataclass(frozen=True)
class SplitIntoParts:
    """The job continues as `count` parts, which workers claim separately."""

    count: int


@dataclass(frozen=True)
class PartCompleted:
    """The features of the claimed part are stored."""


@dataclass(frozen=True)
class HandedOff:
    """The job continues in another queue."""

    queue: WorkerKind


@dataclass(frozen=True)
class Failed:
    """The job has failed."""

    failure: Failure


@dataclass(frozen=True)
class CancelledByCaller:
    """The caller cancelled the job."""


Continuation = SplitIntoParts | PartCompleted | HandedOff
Ending = Completed | Failed | CancelledByCaller
Outcome = Continuation | Ending
"""Outcome of an attempt: the job ends, or it continues elsewhere. An interrupted attempt has no outcome but an
exception: the lease is lost, the worker shuts down, or the storage or Redis fails."""


@dataclass
class RunningAttempt:
    """One attempt in progress. `request` is empty until it has been loaded."""

    claim: Claim
    lease: Lease
    telemetry: AttemptTelemetry
    request: JobRequest = field(default_factory=JobRequest)


class JobRunner(ABC):
    """Runs the jobs of one queue. `wake` notifies a worker of the given kind that a job is waiting."""

    queue: ClassVar[WorkerKind]

    def __init__(
        self,
        job_store: JobStore,
        blobs: BlobStore,
        config: RunnerConfig,
        wake: Callable[[WorkerKind], None] = lambda _: None,
    ) -> None:
        self._job_store, self._blobs, self._config, self._wake = job_store, blobs, config, wake
        self._had_room = True

    @abstractmethod
    def execute(self, claim: Claim, request: JobRequest, lease: Lease) -> Completed | Continuation:
        """Do the work of a job. Write blobs only under keys of this claim (`written_keys`)."""

    @abstractmethod
    def written_keys(self, claim: Claim) -> tuple[str, ...]:
        """Return the keys and prefixes that `execute` may write for a claim. They are kept only if the job succeeds."""

    def run_next(self) -> str | None:
        """Claim the next job, or several small ones, and run each to its outcome.

        Return the id of the first job, or None if no job is waiting, the worker is stopping or a disk is full.
        """
        if not self._can_start():
            return None
        claims = self._claim(self._config.max_concurrent)
        if len(claims) == 1:
            self._run_alongside_small_jobs(claims[0])
        elif claims:
            self._run_concurrently(claims)
        return claims[0].job_id if claims else None

    def _can_start(self) -> bool:
        if self._config.stopping.is_set():
            return False
        had_room, self._had_room = self._had_room, self._config.has_room()
        if had_room and not self._had_room:
            logger.error("not starting any job: too little free disk space")
        return self._had_room

    def _claim(self, max_claims: int, *, small_only: bool = False) -> list[Claim]:
        return self._job_store.claim_batch(self.queue, max_claims, small_only=small_only)

    def _run_alongside_small_jobs(self, claim: Claim) -> None:
        """Run a job. If it takes long, run the small jobs of all owners at the same time, so that none waits for it."""
        ended = threading.Event()
        small_jobs = threading.Thread(target=self._run_small_jobs_until, args=(ended,), name="small jobs")
        small_jobs.start()
        try:
            self._run_attempts(claim)
        finally:
            ended.set()
            small_jobs.join()

    def _run_small_jobs_until(self, ended: threading.Event) -> None:
        while not ended.wait(SMALL_JOBS_INTERVAL_SECONDS) and self._can_start():
            try:
                if claims := self._claim(self._config.max_concurrent, small_only=True):
                    self._run_concurrently(claims)
            except RedisError:
                logger.warning("Redis is unavailable; small jobs wait")

    def _run_concurrently(self, claims: list[Claim]) -> None:
        """Run small jobs at once, each under its own lease. For a limited time, claim another as soon as one ends."""
        deadline = time.monotonic() + MAX_CONCURRENT_RUN_SECONDS
        running = {self._executor.submit(self._run_attempts, claim) for claim in claims}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                if time.monotonic() < deadline and self._can_start():
                    free = self._config.max_concurrent - len(running)
                    claims = self._claim(free, small_only=True)
                    running |= {self._executor.submit(self._run_attempts, claim) for claim in claims}
        finally:
            wait(running)

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._config.max_concurrent, "job")

    def _run_attempts(self, claim: Claim | None) -> None:
        while claim is not None:
            claim = self._run_attempt(claim)

    def _run_attempt(self, claim: Claim) -> Claim | None:
        """Run one attempt. Return a new claim if this worker must now assemble the parts of the job, else None."""
        config = self._config
        with AttemptTelemetry(claim, self.queue, config.telemetry) as telemetry:
            lease = Lease(
                self._job_store,
                claim,
                telemetry,
                lease_seconds=config.lease_seconds,
                time_limit=config.attempt_seconds,
                stopping=config.stopping,
            )
            attempt = RunningAttempt(claim, lease, telemetry)
            try:
                outcome = self._execute(attempt)
                try:
                    return self._record(attempt, outcome)
                except Cancelled:  # the caller cancelled the job before it could continue elsewhere
                    return self._record(attempt, CancelledByCaller())
            except LeaseLost:
                telemetry.outcome = "lost"
                self._discard(claim)
            except ShuttingDown:
                self._job_store.requeue(claim)
                telemetry.outcome = "handed_back"
            except (StorageError, OSError) as error:
                self._requeue_after_storage_failure(claim, error)
                telemetry.outcome = "handed_back"
        return None

    def _execute(self, attempt: RunningAttempt) -> Outcome:
        """Run `execute` under the lease. Errors of the job itself become an outcome.

        Raises LeaseLost, ShuttingDown, RedisError, StorageError, and OSError if a disk is full.
        """
        claim, lease = attempt.claim, attempt.lease
        try:
            with lease:
                attempt.request = self._load_request(claim)
                attempt.telemetry.join_trace(attempt.request.origin)
                return self.execute(claim, attempt.request, lease)
        except (LeaseLost, ShuttingDown, RedisError, StorageError):
            raise
        except Cancelled:
            return CancelledByCaller()
        except Exception as error:
            if isinstance(error, OSError) and is_out_of_space(error):
                raise
            if isinstance(error, FileNotFoundError) and self._job_store.get(claim.job_id) is None:
                raise LeaseLost("The job was deleted while it was running.") from error
            return Failed(failure_of(error))

    def _load_request(self, claim: Claim) -> JobRequest:
        stored = self._blobs.get(request_key(claim.job_id))
        if stored is None:
            raise RequestLost("The stored request of the job is gone: post the job again.", stage="fetch")
        return JobRequest.model_validate_json(stored)

    def _record(self, attempt: RunningAttempt, outcome: Outcome) -> Claim | None:
        """Write the outcome to the job store and wake the workers that continue. Return the claim to assemble the parts
        of the job if this was the last one.

        Raises LeaseLost, and Cancelled if the caller cancelled a job that was to continue elsewhere.
        """
        claim, telemetry = attempt.claim, attempt.telemetry
        match outcome:
            case HandedOff(queue):
                self._job_store.hand_off(claim, queue)
                telemetry.outcome = "passed_on"
                self._wake(queue)
            case SplitIntoParts(count):
                self._job_store.split(claim, count)
                telemetry.outcome = "split"
                for _ in range(count):
                    self._wake(self.queue)
            case PartCompleted():
                telemetry.outcome = "observed"
                return self._job_store.complete_part(claim)
            case Completed():
                self._finish(attempt, "succeeded")
                self._clean_up(claim, outcome)
            case CancelledByCaller():
                self._finish(attempt, "cancelled")
                self._clean_up(claim, outcome)
            case Failed(failure):
                self._finish(attempt, "failed", failure)
                self._clean_up(claim, outcome)
        return None

    def _finish(self, attempt: RunningAttempt, status: JobStatus, failure: Failure | None = None) -> None:
        stage = failure.stage if failure and failure.stage else attempt.lease.current_stage
        self._job_store.finish(attempt.claim, status, failure, stage)
        attempt.telemetry.outcome = status
        attempt.telemetry.failure_code = failure.code if failure else ""
        if attempt.request.webhook_url:
            self._wake("io")

    def _clean_up(self, claim: Claim, ending: Ending) -> None:
        """Delete the blobs that an ended job no longer needs. Those that cannot be deleted are left to the sweep."""
        unneeded: list[str] = []
        if not (isinstance(ending, Completed) and ending.keeps_media):
            unneeded.append(media_prefix(claim.job_id))
        if not isinstance(ending, Completed):
            unneeded += self.written_keys(claim)
        if claim.split_token:
            unneeded.append(parts_prefix(claim.job_id))
        for key in unneeded:
            with suppress(StorageError):
                self._blobs.delete(key)

    def _discard(self, claim: Claim) -> None:
        """Delete what this claim wrote before its lease was lost, or everything if the job was deleted."""
        logger.info("lease lost: discarding what this attempt wrote")
        deleted = self._job_store.get(claim.job_id) is None
        for key in (job_prefix(claim.job_id),) if deleted else self.written_keys(claim):
            self._blobs.delete(key)

    def _requeue_after_storage_failure(self, claim: Claim, error: StorageError | OSError) -> None:
        """Requeue the job, then pause. It uses up an attempt only if it fills a disk that has room without it."""
        logger.error("requeueing the job: %s", error)
        if isinstance(error, StorageError) or not self._config.has_room():
            self._job_store.requeue(claim)
        elif self._job_store.fail_attempt(claim, failure_of(error)) in FINAL_STATUSES:
            with suppress(StorageError):  # the sweep deletes them
                self._blobs.delete(media_prefix(claim.job_id))
        deadline = time.monotonic() + self._config.storage_backoff_seconds
        while time.monotonic() < deadline and not self._config.stopping.is_set():
            time.sleep(0.1)

"""Works on one claimed job: holds its lease, does what its queue is for, and ends it or passes it on."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import ClassVar, Protocol, Self

from redis import RedisError

from ml.errors import Cancelled, FetchFailed, ProcessingTimeout
from ml.vocabulary import Stage
from workers.jobs.failures import failure_of
from workers.jobs.telemetry import Attempt, Witness
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import StorageError, is_full
from workers.protocol.records import (
    FINAL,
    Claim,
    JobRequest,
    JobStatus,
    WorkerKind,
    job_prefix,
    media_prefix,
    parts_prefix,
    request_key,
)
from workers.protocol.store.job_store import JobStore, LeaseLost

logger = logging.getLogger(__name__)

BESIDE_SECONDS = 3.0
"""For which small jobs follow one another without a pause; then it is the turn of others."""
TOLD_EVERY = 0.5
"""Seconds between two reports of stage and progress, at most."""


class ShuttingDown(Cancelled):
    """The worker stops: the job goes back, and another takes it up."""


class RequestLost(FetchFailed):
    """The store has lost the options and the address of a job."""


class Signal(Protocol):
    """What `threading.Event` and `workers.process.celery_app.SharedFlag` offer."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class RunnerConfig:
    """Under which a job is worked on. `seconds`: of one attempt at most. `stopping`: set when the worker shuts down.
    `witness`: whom it is told. `has_room`: whether there is any on the disks that the work needs. `rest_seconds`:
    before the next job, when the storage failed. `together`: most small jobs at once."""

    lease_seconds: float = 15.0
    attempt_seconds: float = 5 * 3600.0
    stopping: Signal = field(default_factory=threading.Event)
    telemetry: Witness = field(default_factory=Witness)
    has_room: Callable[[], bool] = lambda: True
    storage_backoff_seconds: float = 5.0
    max_concurrent: int = 1


class Lease:
    """Holds the claim of a job from a thread of its own, and observes its analysis.

    The thread renews several times a lease, also while the analysis is deep in a forward, and tells stage and progress.
    `check` raises `Cancelled` when the caller wants the job to stop, `LeaseLost` when it belongs to somebody else,
    `ShuttingDown` when the worker stops, `ProcessingTimeout` when the job's time is up.
    """

    def __init__(self, job_store: JobStore, claim: Claim, terms: RunnerConfig, attempt: Attempt) -> None:
        self._job_store, self._claim, self._terms = job_store, claim, terms
        self.attempt = attempt
        self.at: Stage | None = None
        self._progress = 0.0
        self._cancelled = self._lost = False
        self._until = time.monotonic() + terms.attempt_seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="lease", daemon=True)

    def stage(self, stage: Stage) -> None:
        self.at = stage
        self.attempt.stage(stage)

    def spent(self, stage: Stage, seconds: float) -> None:
        self.attempt.spent(stage, seconds)

    def progress(self, fraction: float) -> None:
        self._progress = fraction

    def check(self) -> None:
        if self._lost:
            raise LeaseLost("The job belongs to another worker now.")
        if self._cancelled:
            raise Cancelled("The job was cancelled.", stage=self.at)
        if self._terms.stopping.is_set():
            raise ShuttingDown("The worker shuts down.", stage=self.at)
        if time.monotonic() > self._until:
            raise ProcessingTimeout(
                f"The analysis took more than {self._terms.attempt_seconds:g} seconds.", stage=self.at
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _hold(self) -> None:
        while not self._ended.wait(min(self._terms.lease_seconds / 3, TOLD_EVERY)):
            try:
                self._cancelled = self._job_store.renew(self._claim, self.at, self._progress)
            except LeaseLost:
                self._lost = True
                return
            except RedisError:
                logger.warning("the job store does not answer; the lease is renewed when it does")


@dataclass(frozen=True)
class Done:
    """The job has succeeded. `keep_media`: they stay."""

    keep_media: bool = False


@dataclass(frozen=True)
class Split:
    """The job goes on in so many parts."""

    parts: int


@dataclass(frozen=True)
class Observed:
    """The part is done."""


@dataclass(frozen=True)
class PassedOn:
    """The job goes on in another queue."""

    queue: WorkerKind


class JobRunner(ABC):
    """Runs the claimed jobs of one queue, one after the other. `wake` tells a worker that a job waits for its kind."""

    queue: ClassVar[WorkerKind]

    def __init__(
        self, job_store: JobStore, blobs: Blobs, terms: RunnerConfig, wake: Callable[[WorkerKind], None] = lambda _: None
    ) -> None:
        self._job_store, self._blobs, self._terms, self._wake = job_store, blobs, terms, wake
        self._had_room = True

    def run_next(self) -> str | None:
        """Claims the next job, or several small ones, and brings them to their final states, or to the next queue. The
        id of the first; null when none waits, or the worker stops or has no room."""
        if not self._may_begin():
            return None
        claims = self._job_store.claims(self.queue, self._terms.max_concurrent)
        if len(claims) == 1:
            self._go_on(claims[0])
        elif claims:
            self._work_beside(claims)
        return claims[0].job_id if claims else None

    def _may_begin(self) -> bool:
        return not self._terms.stopping.is_set() and self._has_room()

    def _work_beside(self, claims: list[Claim]) -> None:
        """Small jobs are worked on beside each other, each with a lease of its own; for a while, another is claimed
        as soon as one has ended."""
        until = time.monotonic() + BESIDE_SECONDS
        under_way = {self._beside.submit(self._go_on, claim) for claim in claims}
        try:
            while under_way:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for attempt in ended:
                    attempt.result()
                if time.monotonic() < until and self._may_begin():
                    claims = self._job_store.claims(self.queue, self._terms.max_concurrent - len(under_way), small=True)
                    under_way |= {self._beside.submit(self._go_on, claim) for claim in claims}
        finally:
            wait(under_way)

    @cached_property
    def _beside(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._terms.max_concurrent, "job")

    def _go_on(self, claim: Claim | None) -> None:
        while claim is not None:
            claim = self._attempt(claim)

    def _attempt(self, claim: Claim) -> Claim | None:
        """One attempt; the claim with which the same worker goes on: to join the parts, when the last is done."""
        with Attempt(claim, self.queue, self._terms.telemetry) as attempt:
            try:
                return self._run(claim, attempt)
            except LeaseLost:
                attempt.outcome = "lost"
                self._erase(claim)
            except ShuttingDown:
                self._job_store.hand_back(claim)
                attempt.outcome = "handed_back"
            except (StorageError, OSError) as error:
                self._wait_for_storage(claim, error)
                attempt.outcome = "handed_back"
        return None

    def _has_room(self) -> bool:
        had, self._had_room = self._had_room, self._terms.has_room()
        if had and not self._had_room:
            logger.error("no job is begun: there is too little room on the disk")
        return self._had_room

    def _wait_for_storage(self, claim: Claim, error: StorageError | OSError) -> None:
        """The job goes back. It has used up an attempt only where there is room without it: it needs more than that."""
        logger.error("the job goes back: %s", error)
        if isinstance(error, StorageError) or not self._terms.has_room():
            self._job_store.hand_back(claim)
        else:
            if self._job_store.release(claim, failure_of(error)) in FINAL:
                with suppress(StorageError):  # the sweep removes them
                    self._blobs.delete(media_prefix(claim.job_id))
        until = time.monotonic() + self._terms.storage_backoff_seconds
        while time.monotonic() < until and not self._terms.stopping.is_set():
            time.sleep(0.1)

    @abstractmethod
    def execute(self, claim: Claim, request: JobRequest, lease: Lease) -> Done | PassedOn | Split | Observed:
        """The work itself. What it stores, it stores under keys of this claim."""

    @abstractmethod
    def written_keys(self, claim: Claim) -> tuple[str, ...]:
        """The keys of what `_do` may have stored: removed when the claim was lost."""

    def _run(self, claim: Claim, attempt: Attempt) -> Claim | None:
        lease = Lease(self._job_store, claim, self._terms, attempt)
        status: JobStatus = "failed"
        failure = None
        keep = False
        request = JobRequest()
        try:
            with lease:
                request = self._request(claim)
                attempt.continues(request.origin)
                came_to = self.execute(claim, request, lease)
            if isinstance(came_to, PassedOn):
                self._job_store.pass_on(claim, came_to.queue)
                attempt.outcome = "passed_on"
                self._wake(came_to.queue)
                return None
            if isinstance(came_to, Split):
                self._job_store.split(claim, came_to.parts)
                attempt.outcome = "split"
                for _ in range(came_to.parts):
                    self._wake(self.queue)
                return None
            if isinstance(came_to, Observed):
                attempt.outcome = "observed"
                return self._job_store.part_done(claim)
            status, keep = "succeeded", came_to.keep_media
        except (LeaseLost, ShuttingDown, RedisError, StorageError):
            raise
        except Cancelled:
            status = "cancelled"
        except Exception as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            if isinstance(error, FileNotFoundError) and self._job_store.get(claim.job_id) is None:
                raise LeaseLost("The job was deleted while it was worked on.") from error
            failure = failure_of(error)
        stage = failure.stage if failure and failure.stage else lease.at
        self._job_store.finish(claim, status, failure, stage)
        attempt.outcome, attempt.code = status, failure.code if failure else ""
        if request.webhook_url:
            self._wake("io")
        if not keep:
            with suppress(StorageError):  # the sweep removes them
                self._blobs.delete(media_prefix(claim.job_id))
        if status != "succeeded":
            with suppress(StorageError):  # they go with the job
                for key in self.written_keys(claim):
                    self._blobs.delete(key)
        if claim.split:
            with suppress(StorageError):
                self._blobs.delete(parts_prefix(claim.job_id))
        return None

    def _request(self, claim: Claim) -> JobRequest:
        stored = self._blobs.get(request_key(claim.job_id))
        if stored is None:
            raise RequestLost("What was asked of the job is gone from the store: post it again.", stage="fetch")
        return JobRequest.model_validate_json(stored)

    def _erase(self, claim: Claim) -> None:
        """Removes what this claim wrote after it was lost; of a job that was deleted, everything."""
        logger.info("the claim was lost")
        gone = self._job_store.get(claim.job_id) is None
        for key in (job_prefix(claim.job_id),) if gone else self.written_keys(claim):
            self._blobs.delete(key)

"""Works on one claimed job: holds its lease, reads its media, writes its result before its final state."""

import logging
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from redis import RedisError

from ml.errors import Cancelled
from ml.inference.observer import Observer
from ml.results import Options, Result
from ml.vocabulary import Stage
from workers.failures import failure_of
from workers.wire.blobs import Blobs
from workers.wire.contract import Claim, JobRequest, media_key, request_key, result_key
from workers.wire.ledger import ClaimLost, Ledger
from workers.wire.settings import WireSettings

logger = logging.getLogger(__name__)


class Analysing(Protocol):
    """What `ml.inference.pipeline.Analyser` offers."""

    def analyse(
        self,
        path: Path,
        options: Options | None = None,
        *,
        transcript: str | None = None,
        observer: Observer | None = None,
        scratch: Path | None = None,
    ) -> Result: ...


class Lease:
    """Holds the claim of a job from a thread of its own, and observes its analysis.

    The thread renews three times a lease, also while the analysis is deep in a forward, and tells stage and progress.
    `check` raises `Cancelled` when the caller wants the job to stop, `ClaimLost` when it belongs to somebody else.
    """

    def __init__(self, ledger: Ledger, claim: Claim, seconds: float) -> None:
        self._ledger, self._claim, self._pause = ledger, claim, seconds / 3
        self._stage: Stage | None = None
        self._progress = 0.0
        self._cancelled = self._lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="lease", daemon=True)

    def stage(self, stage: Stage) -> None:
        self._stage = stage

    def progress(self, fraction: float) -> None:
        self._progress = fraction

    def check(self) -> None:
        if self._lost:
            raise ClaimLost("The job belongs to another worker now.")
        if self._cancelled:
            raise Cancelled("The job was cancelled.", stage=self._stage)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _hold(self) -> None:
        while not self._ended.wait(min(self._pause, 0.5)):
            try:
                self._cancelled = self._ledger.renew(self._claim, self._stage, self._progress)
            except ClaimLost:
                self._lost = True
                return
            except RedisError:
                logger.warning("the ledger does not answer; the lease is renewed when it does")


class Engine:
    """Runs claimed jobs, one after the other."""

    def __init__(self, ledger: Ledger, blobs: Blobs, analyser: Analysing, settings: WireSettings) -> None:
        self._ledger, self._blobs, self._analyser, self._settings = ledger, blobs, analyser, settings

    def work(self) -> str | None:
        """Claims the next job and brings it to its final state. Its id; null when none waits."""
        claim = self._ledger.claim()
        if claim is None:
            return None
        try:
            self._run(claim)
        except ClaimLost:
            logger.info("the claim of %s was lost", claim.job_id)
        return claim.job_id

    def _run(self, claim: Claim) -> None:
        try:
            with Lease(self._ledger, claim, self._settings.lease_seconds) as lease:
                keep = self._analyse(claim, lease)
        except ClaimLost:
            raise
        except Cancelled:
            self._ledger.finish(claim, "cancelled")
            keep = False
        except Exception as error:
            self._ledger.finish(claim, "failed", failure_of(error))
            keep = False
        else:
            self._ledger.finish(claim, "succeeded")
        if not keep:
            self._blobs.delete(media_key(claim.job_id))

    def _analyse(self, claim: Claim, lease: Lease) -> bool:
        """Writes the result as a blob; whether the media is to be kept."""
        request = JobRequest.model_validate_json(self._blobs.get(request_key(claim.job_id)) or b"{}")
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="affect-job-")))
            path = stack.enter_context(self._blobs.as_file(media_key(claim.job_id), scratch))
            result = self._analyser.analyse(
                path, request.options, transcript=request.transcript, observer=lease, scratch=scratch
            )
        lease.stage("write")
        lease.check()
        self._blobs.put(result_key(claim.job_id), result.model_dump_json().encode())
        return request.options.keep_media

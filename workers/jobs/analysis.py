"""The queue of analyses: media → result, evidence and the files that go with them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from ml.errors import AffectError, FetchFailed
from ml.inference.pipeline.context import ALONE, KEPT, Find, Work, nothing, under
from ml.results import Options, Result
from workers.jobs.artifacts import OpenStudio, write_artifacts
from workers.jobs.partition import Lengths, Observing, Parted, PartWork, store_file
from workers.jobs.runner import Done, JobRunner, Lease, Observed, Split, RunnerConfig
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.records import (
    Claim,
    JobRequest,
    WorkerKind,
    artifacts_prefix,
    kept_prefix,
    media_key,
    parts_prefix,
    result_key,
)
from workers.protocol.store.job_store import JobStore

_RESULTS = TypeAdapter(Result)


class Analysing(Observing, Protocol):
    """What `workers.models.model_server.Serving` offers."""

    def analyse(self, path: Path, options: Options | None = None, work: Work = ALONE) -> Result: ...


class SourceGone(AffectError):
    """The kept job that a job reads again was deleted, or has expired."""

    code = "job_expired"


class MediaLost(FetchFailed):
    """The store has lost what was uploaded or fetched. Posted again, it is there again: hence `retryable`."""


class AnalysisEngine(JobRunner):
    """Turns media into a result."""

    queue = "inference"

    def __init__(
        self,
        job_store: JobStore,
        blobs: Blobs,
        analyser: Analysing,
        terms: RunnerConfig,
        wake: Callable[[WorkerKind], None] = lambda _: None,
        studio: OpenStudio | None = None,
        lengths: Lengths | None = None,
    ) -> None:
        super().__init__(job_store, blobs, terms, wake)
        self._analyser, self._studio = analyser, studio
        self._parts = PartWork(blobs, analyser, lengths or Lengths())

    def _do(self, claim: Claim, request: JobRequest, lease: Lease) -> Done | Split | Observed:
        """Writes the result as a blob, then the files that go with it; of those that are missing the result tells. Of
        a long recording: the survey for its parts; of one of these: its evidence."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="affect-job-")))
            path = stack.enter_context(self._media(claim, request, scratch, lease))
            work = Work(
                transcript=request.transcript,
                observer=lease,
                scratch=scratch,
                surveyed=lambda survey, soundtrack: self._parts.leave(claim, survey, soundtrack, lease.check),
                kept=stack.enter_context(self._kept(request, scratch, lease)),
                keep=scratch / "kept" if request.options.keep_media else None,
            )
            if claim.part is not None:
                self._parts.observe(claim, request, path, scratch, work)
                return Observed()
            try:
                result = self._result(claim, request, path, scratch, work)
            except Parted as parted:
                return Split(parted.parts)
            lease.attempt.analysed(result)
            lease.stage("write")
            lease.check()
            self._put(claim, result)
            if work.keep:
                self._keep(claim, work.keep, work.kept)
            if work.keep and request.source:
                store_file(self._blobs, path, media_key(claim.job_id))
            if self._studio:
                name = request.media.name if request.media else ""
                studio = self._studio(path, result, request.options, scratch, lease.check, name)
                if missing := write_artifacts(studio, self._blobs, claim, lease.check):
                    self._put(claim, result.model_copy(update={"warnings": (*result.warnings, *missing)}))
        return Done(keep_media=request.options.keep_media)

    @contextmanager
    def _media(self, claim: Claim, request: JobRequest, scratch: Path, lease: Lease) -> Iterator[Path]:
        source = request.source
        key = media_key(source.job_id, source.fetched) if source else media_key(claim.job_id, claim.fetched)
        if source and not self._blobs.exists(key):
            raise SourceGone("The job that was to be read again is no longer kept.", stage="fetch")
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self._blobs.as_file(key, scratch, lease.check))
            except FileNotFoundError:
                raise MediaLost("The stored media of the job are gone: post them again.", stage="fetch") from None
            yield path

    @contextmanager
    def _kept(self, request: JobRequest, scratch: Path, lease: Lease) -> Iterator[Find]:
        """What was kept of the job that is read again."""
        source = request.source
        if source is None:
            yield nothing
            return
        prefix = kept_prefix(source.job_id, source.token)
        with ExitStack() as stack:

            def find(name: str) -> Path | None:
                if not self._blobs.exists(key := f"{prefix}/{name}"):
                    return None
                folder = Path(tempfile.mkdtemp(dir=scratch))  # copies have one name
                return stack.enter_context(self._blobs.as_file(key, folder, lease.check))

            yield cache(find)

    def _keep(self, claim: Claim, written: Path, kept: Find) -> None:
        """Stores what this analysis kept, and what it left as it was. Of a picture there is nothing."""
        if not written.exists():
            return
        here = under(written)
        for name in KEPT:
            if path := here(name) or kept(name):
                store_file(self._blobs, path, f"{kept_prefix(claim.job_id, claim.token)}/{name}")

    def _result(self, claim: Claim, request: JobRequest, path: Path, scratch: Path, work: Work) -> Result:
        if claim.parts:
            return self._parts.join(claim, request, path, scratch, work)
        return self._analyser.analyse(path, request.options, work)

    def _put(self, claim: Claim, result: Result) -> None:
        self._blobs.put(result_key(claim.job_id, claim.token), _RESULTS.dump_json(result))

    def _written(self, claim: Claim) -> tuple[str, ...]:
        if claim.part is not None:
            return (self._parts.key(claim),)
        job_id, token = claim.job_id, claim.token
        results = result_key(job_id, token), kept_prefix(job_id, token), artifacts_prefix(job_id, token)
        return *results, f"{parts_prefix(job_id)}/{token}"

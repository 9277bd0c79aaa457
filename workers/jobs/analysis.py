"""Runner of the `inference` queue: analyses media and stores the result and its artifacts.

A job runs as plan → extract → assemble. If the plan shows a long recording, the job is split: each part is extracted
under a claim of its own, and whichever worker completes the last part assembles the result.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from ml.errors import AffectError, FetchFailed
from ml.inference.api import MediaAnalyzer
from ml.inference.pipeline import features_file
from ml.inference.pipeline.context import (
    CACHED_FILES,
    FEATURES_FILE,
    AnalysisContext,
    CacheLookup,
    cache_in,
    no_cache,
)
from ml.inference.runtime.progress import ASSEMBLE_STAGES, EXTRACT_STAGES
from ml.results import Result
from ml.vocabulary import STAGES
from workers.jobs.artifacts import BuilderFactory, store_artifacts
from workers.jobs.lease import Lease
from workers.jobs.partition import PartStore, SplitPolicy, store_file
from workers.jobs.runner import Completed, JobRunner, PartCompleted, RunnerConfig, SplitIntoParts
from workers.protocol.blob_keys import artifacts_prefix, cache_prefix, media_key, parts_prefix, result_key, summary_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import Claim, JobRequest, JobSummary, WorkerKind
from workers.protocol.store.job_store import JobStore

_RESULT = TypeAdapter(Result)


class SourceGone(AffectError):
    """The kept job that is to be analysed again was deleted or has expired."""

    code = "job_expired"


class MediaLost(FetchFailed):
    """The blob store no longer has the media of the job. `retryable`, because posting the job again helps."""


class AnalysisRunner(JobRunner):
    """Analyses the media of jobs."""

    queue = "inference"

    def __init__(
        self,
        job_store: JobStore,
        blobs: BlobStore,
        analyzer: MediaAnalyzer,
        config: RunnerConfig,
        wake: Callable[[WorkerKind], None] = lambda _: None,
        create_builder: BuilderFactory | None = None,
        split_policy: SplitPolicy | None = None,
    ) -> None:
        """`create_builder`: without it, no artifacts are made. `split_policy`: without it, no job is split."""
        super().__init__(job_store, blobs, config, wake)
        self._analyzer, self._create_builder = analyzer, create_builder
        self._split_policy, self._parts = split_policy or SplitPolicy(), PartStore(blobs)

    def execute(self, claim: Claim, request: JobRequest, lease: Lease) -> Completed | SplitIntoParts | PartCompleted:
        """Analyse the media, or extract one part of it. Store the result, then its artifacts, with a warning for each
        that cannot be made."""
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="affect-job-")))
            media = stack.enter_context(self._media(claim, request, scratch, lease))
            context = AnalysisContext(
                transcript=request.transcript,
                listener=lease,
                stages=EXTRACT_STAGES if claim.part is not None else ASSEMBLE_STAGES if claim.part_tokens else STAGES,
                scratch=scratch,
                cached=stack.enter_context(self._saved_files(request, scratch, lease)),
                save_to=scratch / "saved" if request.options.keep_media else None,
            )
            if claim.part is not None:
                self._extract_part(claim, request, media, context)
                return PartCompleted()
            if claim.part_tokens:
                result = self._assemble_parts(claim, request, media, context)
            else:
                outcome = self._analyze(claim, request, media, context)
                if isinstance(outcome, SplitIntoParts):
                    return outcome
                result = outcome
            lease.telemetry.record_result(result)
            lease.stage("write")
            lease.check()
            self._store_result(claim, result)
            if context.save_to:
                self._keep_saved_files(claim, context.save_to, context.cached)
                if request.source:
                    store_file(self._blobs, media, media_key(claim.job_id))
            if self._create_builder:
                name = request.media.name if request.media else ""
                builder = self._create_builder(media, result, request.options, scratch, lease.check, name)
                if warnings := store_artifacts(builder, self._blobs, claim, lease.check):
                    self._store_result(claim, result.model_copy(update={"warnings": (*result.warnings, *warnings)}))
        return Completed(keeps_media=request.options.keep_media)

    def _analyze(
        self, claim: Claim, request: JobRequest, media: Path, context: AnalysisContext
    ) -> Result | SplitIntoParts:
        """Analyse the whole media. If it is long, store its plan for the parts instead."""
        with context.in_temporary_folder() as temporary:
            plan = self._analyzer.plan(media, request.options, temporary)
            in_parts = self._split_policy.in_parts(plan)
            if self._split_policy.should_split(in_parts):
                self._parts.save_plan(claim, in_parts, context.listener.check)
                return SplitIntoParts(len(in_parts.parts))
            return self._analyzer.assemble(plan, self._analyzer.extract(plan, context=temporary), temporary)

    def _extract_part(self, claim: Claim, request: JobRequest, media: Path, context: AnalysisContext) -> None:
        """Extract and store the features of the claimed part, with the models that the job started with."""
        assert claim.part is not None
        channels = request.options.channels == "separate"
        with (
            context.in_temporary_folder() as temporary,
            self._parts.open_plan(claim, media, request.options, temporary, channels=channels) as plan,
        ):
            features = self._analyzer.extract(plan, plan.parts[claim.part], context=temporary)
            path = temporary.folder / FEATURES_FILE
            features_file.save(path, plan.recording, features)
            context.listener.check()
            self._parts.save_features(claim, path)

    def _assemble_parts(self, claim: Claim, request: JobRequest, media: Path, context: AnalysisContext) -> Result:
        """Assemble the result of all parts, with the models that the job started with."""
        with (
            context.in_temporary_folder() as temporary,
            self._parts.open_plan(claim, media, request.options, temporary, channels=True) as plan,
            self._parts.open_features(claim, temporary) as files,
        ):
            return self._analyzer.assemble(plan, features_file.load_parts(files), temporary)

    @contextmanager
    def _media(self, claim: Claim, request: JobRequest, scratch: Path, lease: Lease) -> Iterator[Path]:
        """Fetch the media of the job, or of the kept job that it analyses again."""
        source = request.source
        key = media_key(source.job_id, source.fetch_token) if source else media_key(claim.job_id, claim.fetch_token)
        if source and not self._blobs.exists(key):
            raise SourceGone("The job that was to be analysed again is no longer kept.", stage="fetch")
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self._blobs.as_file(key, scratch, lease.check))
            except FileNotFoundError:
                raise MediaLost("The stored media of the job is gone: post it again.", stage="fetch") from None
            yield path

    @contextmanager
    def _saved_files(self, request: JobRequest, scratch: Path, lease: Lease) -> Iterator[CacheLookup]:
        """Lookup of the files that the kept job saved, which is analysed again."""
        source = request.source
        if source is None:
            yield no_cache
            return
        prefix = cache_prefix(source.job_id, source.token)
        with ExitStack() as stack:

            def lookup(name: str) -> Path | None:
                if not self._blobs.exists(key := f"{prefix}/{name}"):
                    return None
                folder = Path(tempfile.mkdtemp(dir=scratch))  # all copies have the same name
                return stack.enter_context(self._blobs.as_file(key, folder, lease.check))

            yield cache(lookup)

    def _keep_saved_files(self, claim: Claim, folder: Path, cached: CacheLookup) -> None:
        """Store the files that this analysis saved, or took from the cache. An image has none."""
        if not folder.exists():
            return
        saved = cache_in(folder)
        for name in CACHED_FILES:
            if path := saved(name) or cached(name):
                store_file(self._blobs, path, f"{cache_prefix(claim.job_id, claim.token)}/{name}")

    def _store_result(self, claim: Claim, result: Result) -> None:
        summary = JobSummary.of_result(result).model_dump_json().encode()
        self._blobs.put(summary_key(claim.job_id, claim.token), summary)
        self._blobs.put(result_key(claim.job_id, claim.token), _RESULT.dump_json(result))

    def written_keys(self, claim: Claim) -> tuple[str, ...]:
        if claim.part is not None:
            return (self._parts.features_key(claim),)
        job_id, token = claim.job_id, claim.token
        keys = result_key(job_id, token), summary_key(job_id, token), cache_prefix(job_id, token)
        return *keys, artifacts_prefix(job_id, token), f"{parts_prefix(job_id)}/{token}"

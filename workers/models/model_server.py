"""Models that a worker process serves: those of the published bundle, replaced while the worker runs.

A thread watches the bundle's file. A newly published bundle is loaded and warmed up in addition to the current one and
then replaces it. A running job finishes with the models that it started with; replaced models stay in memory until no
job has used them for a while. A bundle that cannot be served is rejected, reported with the heartbeat and retried; the
bundle served before stays.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import ModelStoreError
from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.bundle import LoadedBundle, published
from ml.inference.pipeline.context import AnalysisContext
from ml.inference.pipeline.features import Features
from ml.inference.pipeline.plan import AnalysisPlan
from ml.inference.runtime.device import gpu_reason
from ml.registry import Bundle, ModelStore
from ml.rendering.builder import ArtifactBuilder
from ml.results import Options, Result
from workers.process.heartbeat import HeartbeatSender, served_models
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 1.0
"""Seconds between two looks at the bundle's file."""
RETRY_SECONDS = 60.0
"""Seconds after which a rejected bundle is retried: some of its files may not have arrived yet."""
UNUSED_SECONDS = 600.0
"""Seconds without use after which replaced models are freed."""


class NoModelLoaded(ModelStoreError):
    """No bundle could be loaded yet."""

    retryable = True


class ModelServer:
    """Loaded models of a worker process. An analysis uses the same bundle from start to end."""

    def __init__(self, settings: WorkerSettings, heartbeat: HeartbeatSender) -> None:
        self._settings, self._heartbeat = settings, heartbeat
        self._store = ModelStore(settings.model_store)
        self._current: Analyzer | None = None
        self._replaced: Analyzer | None = None
        self._replaced_used_at = 0.0
        self._known_file: tuple[int, int, int] | None = None
        self._retry_at: float | None = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll_loop, name="models", daemon=True)

    @property
    def is_ready(self) -> bool:
        return self._current is not None

    def start(self) -> None:
        """Load the bundle, or report why it cannot be served, and watch its file from then on."""
        self.poll()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def plan(self, media: Path, options: Options, context: AnalysisContext) -> AnalysisPlan:
        """Call `Analyzer.plan` of the current models. Raises NoModelLoaded too."""
        with self._borrowed(self._current_analyzer()) as analyzer:
            return analyzer.plan(media, options, context)

    def extract(self, plan: AnalysisPlan, part: TimeSpan = WHOLE_MEDIA, *, context: AnalysisContext) -> Features:
        """Call `Analyzer.extract` of the plan's models: a job keeps those that it started with."""
        with self._borrowed(self._load_or_reuse(plan.recording.bundle)) as analyzer:
            return analyzer.extract(plan, part, context=context)

    def assemble(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
        """Call `Analyzer.assemble` of the plan's models."""
        with self._borrowed(self._load_or_reuse(plan.recording.bundle)) as analyzer:
            return analyzer.assemble(plan, features, context)

    def current_models(self) -> LoadedBundle:
        """Return the current models. Raises NoModelLoaded."""
        return self._current_analyzer().models

    def artifact_builder(
        self, path: Path, result: Result, options: Options, scratch: Path, check: Callable[[], None], name: str
    ) -> ArtifactBuilder:
        """Return the builder of a result's artifacts, with the models that made the result if they are still in memory.

        Raises NoModelLoaded.
        """
        versions = result.models.model_copy(update={"text_by_language": {}})
        analyzer = self._lookup(lambda models: models.versions == versions) or self._current_analyzer()
        return ArtifactBuilder(
            path, result, options, analyzer.models, scratch, self._settings.media_limits, check, name
        )

    def _current_analyzer(self) -> Analyzer:
        if self._current is None:
            raise NoModelLoaded("The worker has no models.")
        return self._current

    def _load_or_reuse(self, bundle: Bundle) -> Analyzer:
        """Return the analyzer of a bundle, loading it unless it is in memory. Raises ModelStoreError."""
        analyzer = self._lookup(lambda models: models.bundle.digest == bundle.digest)
        if analyzer is None:
            self._free_replaced()  # first: there may not be enough memory for three bundles
            analyzer = self._load(bundle)
        return analyzer

    def _lookup(self, matches: Callable[[LoadedBundle], bool]) -> Analyzer | None:
        loaded = (self._current, self._replaced)
        return next((analyzer for analyzer in loaded if analyzer and matches(analyzer.models)), None)

    @contextmanager
    def _borrowed(self, analyzer: Analyzer) -> Iterator[Analyzer]:
        """Lend an analyzer. If it was replaced in the meantime it stays in memory: its job may ask for it again."""
        try:
            yield analyzer
        finally:
            if analyzer is not self._current:
                self._replaced, self._replaced_used_at = analyzer, time.monotonic()

    def _free_replaced(self) -> None:
        if self._replaced is not None:
            self._replaced = None
            gc.collect()  # a predictor and its captured graph refer to each other

    def _poll_loop(self) -> None:
        while not self._stopped.wait(POLL_INTERVAL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Serve what has been published since the last call, if possible, and free models that are no longer needed."""
        if time.monotonic() >= self._replaced_used_at + UNUSED_SECONDS:
            self._free_replaced()
        file = self._fingerprint()
        if file == self._known_file and (self._retry_at is None or time.monotonic() < self._retry_at):
            return
        self._known_file, self._retry_at = file, None
        bundle = None
        try:
            bundle = published(self._store, self._settings.bundle, self._settings.whisper_model)
            if self._settings.worker_kinds == ("live",):  # live streams have no words: spare the memory of their models
                bundle = bundle.model_copy(update={"text": None, "whisper": None})
            if self._current is None or bundle.digest != self._current.models.bundle.digest:
                self._activate(bundle)
                logger.info("serving bundle %s (%.12s)", bundle.name, bundle.digest)
            self._heartbeat.report_serving(bundle.digest, served_models(self.current_models()))
        except ModelStoreError as error:
            self._reject(bundle, error.message)
        except Exception as error:  # weights that do not fit, no memory: the current models are still good
            reason = gpu_reason(error)
            if reason is None:
                logger.exception("cannot load the bundle")
            self._reject(bundle, reason or "it cannot be loaded; the worker's log says why")

    def _fingerprint(self) -> tuple[int, int, int] | None:
        """Return a value that changes whenever the bundle's file is replaced, or None if there is no file."""
        try:
            stat = self._store.bundle_path(self._settings.bundle).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _activate(self, bundle: Bundle) -> None:
        analyzer = self._load_or_reuse(bundle)
        self._replaced, self._current, self._replaced_used_at = self._current, analyzer, time.monotonic()

    def _reject(self, bundle: Bundle | None, reason: str) -> None:
        logger.error("rejecting bundle %s: %s", self._settings.bundle, reason)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._heartbeat.report_rejected(bundle.digest if bundle else None, reason)

    def _load(self, bundle: Bundle) -> Analyzer:
        settings = self._settings
        analyzer = Analyzer.load(
            settings.model_store,
            bundle,
            device=settings.device,
            licences=settings.licences,
            threads=settings.threads,
            limits=settings.media_limits,
            face_search=settings.face_search,
        )
        analyzer.warm_up()
        return analyzer

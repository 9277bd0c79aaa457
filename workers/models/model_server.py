"""Which models a worker process answers with: those of the published bundle, taken up anew while it works.

A thread watches the bundle's file. What is newly published is loaded and warmed up beside what is served, then takes
its place: a job that is under way ends with the models that it began with, which stay until none has used them for a
while. What cannot be served is refused, told with the heartbeat, and tried again now and then; what was served before
stays.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ml.errors import ArtifactError
from ml.inference.pipeline.analyzer import Analyser
from ml.inference.pipeline.bundle import LoadedBundle, published
from ml.inference.pipeline.context import ALONE, Work
from ml.inference.pipeline.decoded_audio import Soundtrack
from ml.inference.pipeline.features_file import read_survey
from ml.registry import Bundle, ModelStore
from ml.rendering.builder import Studio
from ml.results import Options, Result
from workers.process.heartbeat import Pulse, served
from workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
RETRY_SECONDS = 60.0
"""After which a refused bundle is tried again: its files may have been still on their way."""
FORMER_SECONDS = 600.0
"""After which models that are served no more are freed, if no job has used them."""


class NotServing(ArtifactError):
    """No bundle could be loaded yet."""

    retryable = True


class Serving:
    """Holds the models that are served. An analysis uses one bundle from its begin to its end."""

    def __init__(self, settings: WorkerSettings, pulse: Pulse) -> None:
        self._settings, self._pulse = settings, pulse
        self._store = ModelStore(settings.model_store)
        self._current: Analyser | None = None
        self._former: Analyser | None = None
        self._used_at = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._retry_at: float | None = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="serving", daemon=True)

    @property
    def is_ready(self) -> bool:
        return self._current is not None

    def start(self) -> None:
        """Loads the bundle, or tells why it cannot, and watches it from then on."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def analyse(self, path: Path, options: Options | None = None, work: Work = ALONE) -> Result:
        """As `Analyser.analyse`, with the models of now. Raises NotServing too."""
        with self._using(self._now()) as analyser:
            return analyser.analyse(path, options, work)

    def observe(
        self, path: Path, options: Options, survey: bytes, part: int, into: Path, soundtrack: Soundtrack, work: Work
    ) -> None:
        """As `Analyser.observe`, with the models of the survey: a job in parts keeps those that it began with."""
        surveyed = read_survey(survey)
        with self._using(self._of(surveyed.bundle)) as analyser:
            analyser.observe(path, options, surveyed, part, into, soundtrack, work)

    def join(
        self, path: Path, options: Options, survey: bytes, parts: Sequence[Path], soundtrack: Soundtrack, work: Work
    ) -> Result:
        """As `Analyser.join`, with the models of the survey."""
        with self._using(self._of(read_survey(survey).bundle)) as analyser:
            return analyser.join(path, options, parts, soundtrack, work)

    def models(self) -> LoadedBundle:
        """Those of now. Raises NotServing."""
        return self._now().models

    def studio(
        self, path: Path, result: Result, options: Options, scratch: Path, check: Callable[[], None], name: str
    ) -> Studio:
        """Makes the files that go with a result, with the models that made it. Raises NotServing."""
        maker = self._held(lambda models: models.versions == result.models) or self._now()
        return Studio(path, result, options, maker.models, scratch, self._settings.media_limits, check, name)

    def _now(self) -> Analyser:
        if self._current is None:
            raise NotServing("The worker has no models.")
        return self._current

    def _of(self, bundle: Bundle) -> Analyser:
        """Those of now, or those of a bundle that was served before and is still needed. Raises ArtifactError."""
        held = self._held(lambda models: models.bundle.digest == bundle.digest)
        if held is None:
            self._free_former()  # first: there may be no memory for three
            held = self._load(bundle)
        return held

    def _held(self, wanted: Callable[[LoadedBundle], bool]) -> Analyser | None:
        return next((held for held in (self._current, self._former) if held and wanted(held.models)), None)

    @contextmanager
    def _using(self, analyser: Analyser) -> Iterator[Analyser]:
        """What is served no more by the end stays for a while: its job may ask for it again."""
        try:
            yield analyser
        finally:
            if analyser is not self._current:
                self._former, self._used_at = analyser, time.monotonic()

    def _free_former(self) -> None:
        if self._former is not None:
            self._former = None
            gc.collect()  # a predictor and its recorded forward refer to each other

    def look(self) -> None:
        """Takes up what has been published since the last look, if it can be served; frees what is not needed."""
        if time.monotonic() >= self._used_at + FORMER_SECONDS:
            self._free_former()
        stamp = self._stamp()
        if stamp == self._seen and (self._retry_at is None or time.monotonic() < self._retry_at):
            return
        self._seen, self._retry_at = stamp, None
        bundle = None
        try:
            bundle = self._needed(published(self._store, self._settings.bundle, self._settings.whisper_model))
            if self._current is None or bundle.digest != self._current.models.bundle.digest:
                self._take_up(bundle)
                logger.info("bundle %s (%.12s) is served", bundle.name, bundle.digest)
            self._pulse.serves(bundle.digest, served(self.models()))
        except ArtifactError as error:
            self._refuse(bundle, error.message)
        except Exception:  # weights that do not fit, no memory: whatever it is, the old models are as good as before
            logger.exception("a bundle cannot be loaded")
            self._refuse(bundle, "it cannot be loaded; the worker's log says why")

    def _take_up(self, bundle: Bundle) -> None:
        taken = self._of(bundle)
        self._former, self._current, self._used_at = self._current, taken, time.monotonic()

    def _needed(self, bundle: Bundle) -> Bundle:
        """Words are not read live: a worker of nothing but streams spares their models' memory."""
        if self._settings.worker_kinds != ("live",):
            return bundle
        return bundle.model_copy(update={"text": None, "whisper": None})

    def _load(self, bundle: Bundle) -> Analyser:
        settings = self._settings
        analyser = Analyser.load(
            settings.model_store,
            bundle,
            device=settings.device,
            licences=settings.licences,
            threads=settings.threads,
            limits=settings.media_limits,
            face_search=settings.face_search,
        )
        analyser.warm_up()
        return analyser

    def _refuse(self, bundle: Bundle | None, reason: str) -> None:
        logger.error("bundle %s is refused: %s", self._settings.bundle, reason)
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._pulse.refuses(bundle.digest if bundle else None, reason)

    def _stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever another file takes the bundle's place; null where there is none."""
        try:
            about = self._store.bundle_path(self._settings.bundle).stat()
        except OSError:
            return None
        return about.st_ino, about.st_mtime_ns, about.st_size

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_SECONDS):
            self.look()

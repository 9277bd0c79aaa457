"""The analysis of a media file, from bytes to the result document, in three steps:

1. `plan`: probe the file, decode its audio, find speech;
2. `extract`: faces, voice and words of the whole, or of one part of a long recording;
3. `assemble`: tracks, windows and fusion over the features of the whole.
"""

from pathlib import Path
from typing import Self

from ml.inference.api import WHOLE_MEDIA, TimeSpan
from ml.inference.face.backends.base import FaceSearch
from ml.inference.pipeline import reuse
from ml.inference.pipeline.assemble import Assembler
from ml.inference.pipeline.bundle import Licences, LoadedBundle, pick_device, published
from ml.inference.pipeline.context import DEFAULT_CONTEXT, AnalysisContext
from ml.inference.pipeline.extract import Extractor
from ml.inference.pipeline.features import Features
from ml.inference.pipeline.plan import AnalysisPlan, Planner
from ml.media import MediaLimits
from ml.registry import Bundle, ModelStore
from ml.results import Options, Result


class Analyzer:
    """Analyzes media files with a loaded bundle. It keeps nothing of a file; threads may share it."""

    def __init__(
        self, models: LoadedBundle, limits: MediaLimits | None = None, face_search: FaceSearch = "graphs"
    ) -> None:
        """`face_search`: search faces by mediapipe's graphs on the CPU, or by its networks on the models' device."""
        self.models = models
        limits = limits or MediaLimits()
        self._planner = Planner(models, limits)
        self._extractor = Extractor(self._planner, models, limits, face_search)
        self._assembler = Assembler(self._planner, self._extractor, models, limits)

    @classmethod
    def load(
        cls,
        store_root: Path,
        bundle: str | Bundle = "default",
        *,
        device: str = "auto",
        licences: Licences = "any",
        threads: int = 0,
        limits: MediaLimits | None = None,
        face_search: FaceSearch = "graphs",
    ) -> Self:
        """Load a bundle, or the one that is published under a name.

        Raises ModelStoreError if one of its models is missing, damaged or refused.
        """
        store = ModelStore(store_root)
        if isinstance(bundle, str):
            bundle = published(store, bundle)
        models = LoadedBundle.load(store, bundle, device=pick_device(device), licences=licences, threads=threads)
        return cls(models, limits, face_search)

    def warm_up(self) -> None:
        """Run each model once and build a face detector, so that no job waits for what a first call builds.

        Raises ModelStoreError if a model's output is not a probability distribution.
        """
        self._extractor.warm_up()
        self.models.warm_up()

    def analyze(
        self, media: Path, options: Options | None = None, context: AnalysisContext = DEFAULT_CONTEXT
    ) -> Result:
        """Return the result of the file at `media`: plan, extract and assemble in a row.

        Raises AffectError with a code and the stage.
        """
        with context.in_temporary_folder() as own:
            plan = self.plan(media, options or Options(), own)
            return self.assemble(plan, self.extract(plan, context=own), own)

    def plan(self, media: Path, options: Options, context: AnalysisContext) -> AnalysisPlan:
        """Return the plan of the file at `media`; its decoded audio is in the context's folder.

        A cached analysis in the context's cache is reused if it is by the same models. Raises as `analyze`.
        """
        if cached := reuse.load_cached(context, self.models.bundle):
            return reuse.plan_from_cached(self._planner, cached, media, options, context)
        return self._planner.plan(media, options, context)

    def extract(self, plan: AnalysisPlan, part: TimeSpan = WHOLE_MEDIA, *, context: AnalysisContext) -> Features:
        """Return the features of the media, or of one of the plan's parts. Raises as `analyze`."""
        if plan.cached:
            return reuse.extract_missing(self._planner, self._extractor, plan, plan.cached, context)
        return self._extractor.extract(plan, part, context)

    def assemble(self, plan: AnalysisPlan, features: Features, context: AnalysisContext) -> Result:
        """Return the result of the features of the whole media. Raises as `analyze`."""
        return self._assembler.assemble(plan, features, context)

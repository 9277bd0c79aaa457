"""Surroundings of one analysis: folders, cache, progress and cancellation.

Free of torch, because a worker's parent process imports it.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ml.inference.runtime.progress import NullListener, ProgressListener, StageTimer
from ml.vocabulary import STAGES, Stage

FEATURES_FILE, MIX, CHANNELS = CACHED_FILES = "observed", "mix.flac", "channels.flac"
"""Names of the files that an analysis saves for a later one of the same media: features, mixed audio, channels."""

CacheLookup = Callable[[str], Path | None]
"""Function that returns the path of a saved file (one of `CACHED_FILES`), or null if it was not saved."""


def no_cache(_: str) -> None:
    """Cache lookup that never finds a file."""


def cache_in(folder: Path) -> CacheLookup:
    """Return a lookup of the files that an earlier analysis saved to a folder."""
    return lambda name: path if (path := folder / name).exists() else None


@dataclass(frozen=True)
class AnalysisContext:
    """Context of one analysis; not to be shared by two, because it also times the stages.

    Attributes:
        transcript: text, SRT or WebVTT that replaces speech recognition.
        listener: receives stages and progress; its `check` can cancel the analysis.
        stages: stages that make up the whole of the work, for its progress.
        scratch: folder for temporary files.
        cached: lookup of the files that an earlier analysis of the same media saved. Only what they lack is extracted.
        save_to: folder for the files that a later analysis of the same media can reuse; null to save none.
    """

    transcript: str | None = None
    listener: ProgressListener = field(default_factory=NullListener)
    stages: Sequence[Stage] = STAGES
    scratch: Path | None = None
    cached: CacheLookup = no_cache
    save_to: Path | None = None

    @cached_property
    def timer(self) -> StageTimer:
        return StageTimer(self.listener, self.stages)

    @property
    def folder(self) -> Path:
        """Folder for temporary files. Raises ValueError if the context has none."""
        if self.scratch is None:
            raise ValueError("the context has no folder for temporary files")
        return self.scratch

    @contextmanager
    def in_temporary_folder(self) -> Iterator["AnalysisContext"]:
        """Yield the same context with a new scratch folder below its own, which is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="affect-", dir=self.scratch) as folder:
            yield replace(self, scratch=Path(folder))


DEFAULT_CONTEXT = AnalysisContext()
"""Context without a listener, in which nothing is reused or saved."""

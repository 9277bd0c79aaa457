"""What goes with an analysis beside the file and the options. Free of torch: it crosses into a worker's parent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ml.inference.pipeline.decoded_audio import DecodedAudio
from ml.inference.runtime.progress import NullListener, ProgressListener

if TYPE_CHECKING:  # it imports torch
    from ml.inference.pipeline.features_file import Survey

FEATURES_FILE, MIX, CHANNELS = CACHED_FILES = "observed", "mix.flac", "channels.flac"
"""The files that are kept of a recording so that it can be read again: what the models observed, and the sound."""

Surveyed = Callable[["Survey", DecodedAudio], None]
"""Is shown a recording's survey and its decoded sound. It may end the analysis by an exception: the parts are then
observed elsewhere."""
CacheLookup = Callable[[str], Path | None]
"""Where a kept file lies (`KEPT`); null where it was not kept."""


def no_cache(_: str) -> None:
    """Of what was kept."""


def cache_in(folder: Path) -> CacheLookup:
    """What lies in a folder, kept there by an analysis."""
    return lambda name: path if (path := folder / name).exists() else None


@dataclass(frozen=True)
class AnalysisContext:
    """`transcript`: text, SRT or WebVTT that replaces recognition. `scratch`: under which alone files are made and
    removed. `kept`: of the same file, so that only what it lacks is observed. `keep`: the folder into which is written
    what is kept of a recording."""

    transcript: str | None = None
    listener: ProgressListener = field(default_factory=NullListener)
    scratch: Path | None = None
    surveyed: Surveyed | None = None
    cached: CacheLookup = no_cache
    save_to: Path | None = None

    @property
    def recognises(self) -> bool:
        """Whether words are to be recognised, where the options want them."""
        return self.transcript is None


DEFAULT_CONTEXT = AnalysisContext()
"""An analysis that nobody watches, from nothing, of which nothing is kept."""

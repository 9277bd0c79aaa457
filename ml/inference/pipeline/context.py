"""What goes with an analysis beside the file and the options. Free of torch: it crosses into a worker's parent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ml.inference.pipeline.decoded_audio import Soundtrack
from ml.inference.runtime.progress import Observer, Silent

if TYPE_CHECKING:  # it imports torch
    from ml.inference.pipeline.features_file import Survey

OBSERVED, MIX, CHANNELS = KEPT = "observed", "mix.flac", "channels.flac"
"""The files that are kept of a recording so that it can be read again: what the models observed, and the sound."""

Surveyed = Callable[["Survey", Soundtrack], None]
"""Is shown a recording's survey and its decoded sound. It may end the analysis by an exception: the parts are then
observed elsewhere."""
Find = Callable[[str], Path | None]
"""Where a kept file lies (`KEPT`); null where it was not kept."""


def nothing(_: str) -> None:
    """Of what was kept."""


def under(folder: Path) -> Find:
    """What lies in a folder, kept there by an analysis."""
    return lambda name: path if (path := folder / name).exists() else None


@dataclass(frozen=True)
class Work:
    """`transcript`: text, SRT or WebVTT that replaces recognition. `scratch`: under which alone files are made and
    removed. `kept`: of the same file, so that only what it lacks is observed. `keep`: the folder into which is written
    what is kept of a recording."""

    transcript: str | None = None
    observer: Observer = field(default_factory=Silent)
    scratch: Path | None = None
    surveyed: Surveyed | None = None
    kept: Find = nothing
    keep: Path | None = None

    @property
    def recognises(self) -> bool:
        """Whether words are to be recognised, where the options want them."""
        return self.transcript is None


ALONE = Work()
"""An analysis that nobody watches, from nothing, of which nothing is kept."""

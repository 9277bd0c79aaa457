"""Progress of an analysis: listeners that receive it and may cancel, and the timer that runs the stages."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ml.errors import AffectError
from ml.vocabulary import STAGES, Stage


class ProgressListener(Protocol):
    """Receiver of an analysis's progress. Its methods do nothing unless they are overridden."""

    def stage(self, stage: Stage) -> None:
        """Called when a stage starts, which ends the one before it."""
        return None

    def spent(self, stage: Stage, seconds: float) -> None:
        """Called when a stage ends. `seconds` of its work; it may have run concurrently with another stage."""
        return None

    def progress(self, fraction: float) -> None:
        """Called with the share of the whole work that is done, 0..1; it never falls."""
        return None

    def check(self) -> None:
        """Called often. Raises Cancelled if the work is no longer wanted."""
        return None


class NullListener(ProgressListener):
    """Listener that ignores everything."""


EXTRACT_STAGES: tuple[Stage, ...] = ("faces", "audio", "transcribe")
ASSEMBLE_STAGES: tuple[Stage, ...] = ("text", "fuse", "write")
"""Stages of one part of a recording, and of the assembly of all its parts."""

_STAGE_SHARES: dict[Stage, float] = {
    "fetch": 0.0,
    "probe": 0.02,
    "decode": 0.03,
    "segment": 0.03,
    "faces": 0.5,
    "audio": 0.07,
    "transcribe": 0.3,
    "text": 0.02,
    "fuse": 0.02,
    "write": 0.01,
}
"""Share of a job's time that each stage takes, from `timings` of clips of one speaking person on two cores."""


class StageTimer:
    """Runs stages: reports them to a listener, measures their time, and adds the stage to errors.

    `stages`: those that make up the whole of the work.
    """

    def __init__(self, listener: ProgressListener, stages: Sequence[Stage] = STAGES) -> None:
        self.timings: dict[str, float] = {}
        """Seconds of each stage."""
        self._listener = listener
        self._stages = stages
        self._total_share = sum(_STAGE_SHARES[stage] for stage in stages)
        self._stage_start = self._stage_share = self._done = 0.0

    @contextmanager
    def stage(self, stage: Stage, spent: Callable[[], float] | None = None) -> Iterator[None]:
        """Run a stage. `spent` returns the seconds of its work, if another thread does it."""
        earlier = (each for each in STAGES[: STAGES.index(stage)] if each in self._stages)
        self._stage_start = sum(_STAGE_SHARES[each] for each in earlier) / self._total_share
        self._stage_share = _STAGE_SHARES[stage] / self._total_share if stage in self._stages else 0.0
        self._listener.stage(stage)
        self._listener.check()
        started = time.perf_counter()
        try:
            yield
        except AffectError as error:
            error.stage = error.stage or stage
            raise
        finally:
            seconds = spent() if spent else time.perf_counter() - started
            self.timings[stage] = round(self.timings.get(stage, 0.0) + seconds, 4)
            self._listener.spent(stage, seconds)
        self.set_fraction(1.0)

    def set_fraction(self, fraction: float) -> None:
        """Report how much of the current stage is done, 0..1. Running a stage again does not reduce the progress."""
        self._done = max(self._done, self._stage_start + self._stage_share * min(max(fraction, 0.0), 1.0))
        self._listener.progress(self._done)

    def shares(self, count: int) -> Iterator[Callable[[float], None]]:
        """Yield a callback for each of `count` equal parts of the current stage that reports how much of it is done."""

        def share(index: int) -> Callable[[float], None]:
            return lambda fraction: self.set_fraction((index + fraction) / count)

        return map(share, range(count))

    def check(self) -> None:
        self._listener.check()

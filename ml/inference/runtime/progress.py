"""How an analysis tells where it is, and learns that it must stop."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ml.errors import AffectError
from ml.vocabulary import STAGES, Stage


class ProgressListener(Protocol):
    """What the caller of an analysis may watch. `check` raises `Cancelled` when the work is no longer wanted."""

    def stage(self, stage: Stage) -> None:
        """It begins, and the one before it has ended."""

    def spent(self, stage: Stage, seconds: float) -> None:
        """How long the work of a stage took, which may have been done beside another stage."""

    def progress(self, fraction: float) -> None:
        """Share of the whole job that is done, 0..1; never falls."""

    def check(self) -> None: ...


class NullListener:
    """An observer that watches nothing."""

    def stage(self, stage: Stage) -> None:
        return None

    def spent(self, stage: Stage, seconds: float) -> None:
        return None

    def progress(self, fraction: float) -> None:
        return None

    def check(self) -> None:
        return None


# What part of a job each stage takes, from `timings` of the talking heads among the trial clips on two cores.
_SHARES: dict[Stage, float] = {
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


class StageTimer:
    """Runs stages: reports them, times them, and names the stage in errors that pass through. `stages`: those that make
    up the whole of the work."""

    def __init__(self, observer: ProgressListener, stages: Sequence[Stage] = STAGES) -> None:
        self.timings: dict[str, float] = {}
        self._observer = observer
        self._stages = stages
        self._all = sum(_SHARES[stage] for stage in stages)
        self._base = self._share = self._done = 0.0

    @contextmanager
    def stage(self, stage: Stage, spent: Callable[[], float] | None = None) -> Iterator[None]:
        """`spent`: the seconds of the stage, where it is not this thread that works."""
        before = STAGES[: STAGES.index(stage)]
        self._base = sum(_SHARES[earlier] for earlier in before if earlier in self._stages) / self._all
        self._share = _SHARES[stage] / self._all if stage in self._stages else 0.0
        self._observer.stage(stage)
        self._observer.check()
        started = time.perf_counter()
        try:
            yield
        except AffectError as error:
            error.stage = error.stage or stage
            raise
        finally:
            seconds = spent() if spent else time.perf_counter() - started
            self.timings[stage] = round(self.timings.get(stage, 0.0) + seconds, 4)
            self._observer.spent(stage, seconds)
        self.set_fraction(1.0)

    def set_fraction(self, fraction: float) -> None:
        """How much of the present stage is done, 0..1. A stage that is entered again takes nothing back."""
        self._done = max(self._done, self._base + self._share * min(max(fraction, 0.0), 1.0))
        self._observer.progress(self._done)

    def check(self) -> None:
        self._observer.check()

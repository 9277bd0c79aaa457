"""How an analysis tells where it is, and learns that it must stop."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ml.errors import AffectError
from ml.vocabulary import STAGES, Stage


class Observer(Protocol):
    """What the caller of an analysis may watch. `check` raises `Cancelled` when the work is no longer wanted."""

    def stage(self, stage: Stage) -> None: ...

    def progress(self, fraction: float) -> None:
        """Share of the whole job that is done, 0..1; never falls."""

    def check(self) -> None: ...


class Silent:
    """An observer that watches nothing."""

    def stage(self, stage: Stage) -> None:
        return None

    def progress(self, fraction: float) -> None:
        return None

    def check(self) -> None:
        return None


# What part of a job each stage takes, from `timings` of the talking heads among the trial clips on two cores.
_SHARES: dict[Stage, float] = {
    "fetch": 0.0,
    "probe": 0.02,
    "decode": 0.45,
    "segment": 0.03,
    "faces": 0.08,
    "audio": 0.07,
    "transcribe": 0.3,
    "text": 0.02,
    "fuse": 0.02,
    "write": 0.01,
}


class Clock:
    """Runs stages: reports them, times them, and names the stage in errors that pass through."""

    def __init__(self, observer: Observer) -> None:
        self.timings: dict[str, float] = {}
        self._observer = observer
        self._base = 0.0
        self._share = 0.0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        self._base = sum(_SHARES[before] for before in STAGES[: STAGES.index(stage)])
        self._share = _SHARES[stage]
        self._observer.stage(stage)
        self._observer.check()
        started = time.perf_counter()
        try:
            yield
        except AffectError as error:
            error.stage = error.stage or stage
            raise
        finally:
            spent = time.perf_counter() - started
            self.timings[stage] = round(self.timings.get(stage, 0.0) + spent, 4)
        self.within(1.0)

    def within(self, fraction: float) -> None:
        """How much of the present stage is done, 0..1."""
        self._observer.progress(self._base + self._share * min(max(fraction, 0.0), 1.0))

    def check(self) -> None:
        self._observer.check()

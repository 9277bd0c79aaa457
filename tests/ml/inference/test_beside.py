"""Work beside an analysis: its order, its time, its errors, and its end."""

import threading

import pytest

from ml.errors import Cancelled, MediaInvalid
from ml.inference.runtime.background import background_stages
from ml.inference.runtime.progress import StageTimer, NullListener
from ml.vocabulary import Stage


class Watching(NullListener):
    """Notes what it is told, and by which thread."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.times: dict[Stage, float] = {}
        self.shares: list[float] = []
        self.threads: set[int] = set()
        self.cancelled = False

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.threads.add(threading.get_ident())

    def spent(self, stage: Stage, seconds: float) -> None:
        self.times[stage] = seconds
        self.threads.add(threading.get_ident())

    def progress(self, fraction: float) -> None:
        self.shares.append(fraction)
        self.threads.add(threading.get_ident())

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled("stop")


@pytest.mark.parametrize("threads", [False, True])
def test_work_is_done_in_order_and_told_by_the_analysis_alone(threads: bool) -> None:
    watching, done = Watching(), []
    clock = StageTimer(watching)

    def work(name: str, own: StageTimer) -> str:
        own.set_fraction(0.5)
        own.check()
        done.append(name)
        return name.upper()

    with background_stages(clock, threads=threads) as aside:
        tones = aside.start("audio", lambda own: work("tones", own))
        words = aside.start("transcribe", lambda own: work("words", own))
        with clock.stage("faces"):
            clock.set_fraction(0.5)
        assert (tones(), words()) == ("TONES", "WORDS")
    assert done == ["tones", "words"]
    assert watching.stages == ["faces", "audio", "transcribe"]
    assert watching.threads == {threading.get_ident()}
    assert watching.shares == sorted(watching.shares)
    assert set(clock.timings) == {"faces", "audio", "transcribe"}


def test_the_time_of_a_stage_is_that_of_its_work() -> None:
    clock = StageTimer(watching := Watching())
    slow = threading.Event()
    with background_stages(clock, threads=True) as aside:
        heard = aside.start("audio", lambda own: slow.wait(0.2))
        with clock.stage("faces"):
            slow.wait(0.3)
        heard()
    assert clock.timings["audio"] >= 0.19 and watching.times["audio"] >= 0.19, "though nobody had to wait"


def test_it_runs_while_the_analysis_does_something_else() -> None:
    began, clock = threading.Event(), StageTimer(NullListener())
    with background_stages(clock, threads=True) as aside:
        heard = aside.start("audio", lambda own: began.set())
        with clock.stage("faces"):
            assert began.wait(10)
        heard()


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_names_the_stage_of_the_work(threads: bool) -> None:
    def fails(own: StageTimer) -> None:
        raise MediaInvalid("no")

    with pytest.raises(MediaInvalid) as caught, background_stages(StageTimer(NullListener()), threads=threads) as aside:
        aside.start("transcribe", fails)()
    assert caught.value.stage == "transcribe"


def test_who_is_busy_can_ask_whether_it_has_failed() -> None:
    def fails(own: StageTimer) -> None:
        raise MediaInvalid("no")

    with background_stages(StageTimer(NullListener()), threads=True) as aside:
        aside.check()
        aside.start("audio", lambda own: None)
        heard = aside.start("transcribe", fails)
        with pytest.raises(MediaInvalid) as caught:
            while True:
                aside.check()
        assert caught.value.stage == "transcribe"
        with pytest.raises(MediaInvalid):
            heard()


def test_left_by_an_error_it_stops_the_work_and_begins_no_more() -> None:
    begun: list[str] = []
    began, ended = threading.Event(), threading.Event()

    def endless(own: StageTimer) -> None:
        began.set()
        try:
            while True:
                own.check()
        finally:
            ended.set()

    with pytest.raises(MediaInvalid), background_stages(StageTimer(NullListener()), threads=True) as aside:
        aside.start("audio", endless)
        aside.start("transcribe", lambda own: begun.append("words"))
        assert began.wait(10)
        raise MediaInvalid("the picture")
    assert ended.is_set() and not begun


def test_who_waits_can_be_cancelled() -> None:
    watching, began = Watching(), threading.Event()

    def endless(own: StageTimer) -> None:
        began.set()
        while True:
            own.check()

    with pytest.raises(Cancelled, match="stop"), background_stages(StageTimer(watching), threads=True) as aside:
        heard = aside.start("audio", endless)
        assert began.wait(10)
        watching.cancelled = True
        heard()

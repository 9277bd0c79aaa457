"""Work beside an analysis: its order, its time, its errors, and its end."""

import threading

import pytest

from ml.errors import Cancelled, MediaInvalid
from ml.inference.runtime.background import beside
from ml.inference.runtime.progress import Clock, Silent
from ml.vocabulary import Stage


class Watching(Silent):
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
    clock = Clock(watching)

    def work(name: str, own: Clock) -> str:
        own.within(0.5)
        own.check()
        done.append(name)
        return name.upper()

    with beside(clock, threads=threads) as aside:
        tones = aside.begin("audio", lambda own: work("tones", own))
        words = aside.begin("transcribe", lambda own: work("words", own))
        with clock.stage("faces"):
            clock.within(0.5)
        assert (tones(), words()) == ("TONES", "WORDS")
    assert done == ["tones", "words"]
    assert watching.stages == ["faces", "audio", "transcribe"]
    assert watching.threads == {threading.get_ident()}
    assert watching.shares == sorted(watching.shares)
    assert set(clock.timings) == {"faces", "audio", "transcribe"}


def test_the_time_of_a_stage_is_that_of_its_work() -> None:
    clock = Clock(watching := Watching())
    slow = threading.Event()
    with beside(clock, threads=True) as aside:
        heard = aside.begin("audio", lambda own: slow.wait(0.2))
        with clock.stage("faces"):
            slow.wait(0.3)
        heard()
    assert clock.timings["audio"] >= 0.19 and watching.times["audio"] >= 0.19, "though nobody had to wait"


def test_it_runs_while_the_analysis_does_something_else() -> None:
    began, clock = threading.Event(), Clock(Silent())
    with beside(clock, threads=True) as aside:
        heard = aside.begin("audio", lambda own: began.set())
        with clock.stage("faces"):
            assert began.wait(10)
        heard()


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_names_the_stage_of_the_work(threads: bool) -> None:
    def fails(own: Clock) -> None:
        raise MediaInvalid("no")

    with pytest.raises(MediaInvalid) as caught, beside(Clock(Silent()), threads=threads) as aside:
        aside.begin("transcribe", fails)()
    assert caught.value.stage == "transcribe"


def test_who_is_busy_can_ask_whether_it_has_failed() -> None:
    def fails(own: Clock) -> None:
        raise MediaInvalid("no")

    with beside(Clock(Silent()), threads=True) as aside:
        aside.check()
        aside.begin("audio", lambda own: None)
        heard = aside.begin("transcribe", fails)
        with pytest.raises(MediaInvalid) as caught:
            while True:
                aside.check()
        assert caught.value.stage == "transcribe"
        with pytest.raises(MediaInvalid):
            heard()


def test_left_by_an_error_it_stops_the_work_and_begins_no_more() -> None:
    begun: list[str] = []
    began, ended = threading.Event(), threading.Event()

    def endless(own: Clock) -> None:
        began.set()
        try:
            while True:
                own.check()
        finally:
            ended.set()

    with pytest.raises(MediaInvalid), beside(Clock(Silent()), threads=True) as aside:
        aside.begin("audio", endless)
        aside.begin("transcribe", lambda own: begun.append("words"))
        assert began.wait(10)
        raise MediaInvalid("the picture")
    assert ended.is_set() and not begun


def test_who_waits_can_be_cancelled() -> None:
    watching, began = Watching(), threading.Event()

    def endless(own: Clock) -> None:
        began.set()
        while True:
            own.check()

    with pytest.raises(Cancelled, match="stop"), beside(Clock(watching), threads=True) as aside:
        heard = aside.begin("audio", endless)
        assert began.wait(10)
        watching.cancelled = True
        heard()

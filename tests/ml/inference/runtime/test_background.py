"""Stages in a background thread: their order, their time, their errors, and their end."""

import threading

import pytest

from ml.errors import Cancelled, MediaInvalid
from ml.inference.runtime.background import background_stages
from ml.inference.runtime.progress import NullListener, StageTimer
from ml.vocabulary import Stage


class RecordingListener(NullListener):
    """Records its calls, and the threads that made them."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.times: dict[Stage, float] = {}
        self.fractions: list[float] = []
        self.threads: set[int] = set()
        self.cancelled = False

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        self.threads.add(threading.get_ident())

    def spent(self, stage: Stage, seconds: float) -> None:
        self.times[stage] = seconds
        self.threads.add(threading.get_ident())

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)
        self.threads.add(threading.get_ident())

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled("stop")


@pytest.mark.parametrize("threads", [False, True])
def test_background_stages_run_in_order_and_only_the_analysis_reports_them(threads: bool) -> None:
    listener, done = RecordingListener(), []
    timer = StageTimer(listener)

    def work(name: str, own: StageTimer) -> str:
        own.set_fraction(0.5)
        own.check()
        done.append(name)
        return name.upper()

    with background_stages(timer, threads=threads) as background:
        tones = background.start("audio", lambda own: work("tones", own))
        words = background.start("transcribe", lambda own: work("words", own))
        with timer.stage("faces"):
            timer.set_fraction(0.5)
        assert (tones(), words()) == ("TONES", "WORDS")
    assert done == ["tones", "words"]
    assert listener.stages == ["faces", "audio", "transcribe"]
    assert listener.threads == {threading.get_ident()}
    assert listener.fractions == sorted(listener.fractions)
    assert set(timer.timings) == {"faces", "audio", "transcribe"}


def test_background_stage_time_is_that_of_its_work() -> None:
    timer = StageTimer(listener := RecordingListener())
    slow = threading.Event()
    with background_stages(timer, threads=True) as background:
        heard = background.start("audio", lambda own: slow.wait(0.2))
        with timer.stage("faces"):
            slow.wait(0.3)
        heard()
    assert timer.timings["audio"] >= 0.19 and listener.times["audio"] >= 0.19, "though it was not awaited"


def test_background_stage_runs_while_the_analysis_runs_another_stage() -> None:
    began, timer = threading.Event(), StageTimer(NullListener())
    with background_stages(timer, threads=True) as background:
        heard = background.start("audio", lambda own: began.set())
        with timer.stage("faces"):
            assert began.wait(10)
        heard()


@pytest.mark.parametrize("threads", [False, True])
def test_background_stage_error_names_its_stage(threads: bool) -> None:
    def fails(own: StageTimer) -> None:
        raise MediaInvalid("no")

    with (
        pytest.raises(MediaInvalid) as caught,
        background_stages(StageTimer(NullListener()), threads=threads) as background,
    ):
        background.start("transcribe", fails)()
    assert caught.value.stage == "transcribe"


def test_check_raises_the_error_of_a_failed_background_stage() -> None:
    def fails(own: StageTimer) -> None:
        raise MediaInvalid("no")

    with background_stages(StageTimer(NullListener()), threads=True) as background:
        background.check()
        background.start("audio", lambda own: None)
        heard = background.start("transcribe", fails)
        with pytest.raises(MediaInvalid) as caught:
            while True:
                background.check()
        assert caught.value.stage == "transcribe"
        with pytest.raises(MediaInvalid):
            heard()


def test_error_in_the_analysis_stops_background_stages_and_starts_no_more() -> None:
    begun: list[str] = []
    began, ended = threading.Event(), threading.Event()

    def endless(own: StageTimer) -> None:
        began.set()
        try:
            while True:
                own.check()
        finally:
            ended.set()

    with pytest.raises(MediaInvalid), background_stages(StageTimer(NullListener()), threads=True) as background:
        background.start("audio", endless)
        background.start("transcribe", lambda own: begun.append("words"))
        assert began.wait(10)
        raise MediaInvalid("the picture")
    assert ended.is_set() and not begun


def test_waiting_for_a_background_stage_can_be_cancelled() -> None:
    listener, began = RecordingListener(), threading.Event()

    def endless(own: StageTimer) -> None:
        began.set()
        while True:
            own.check()

    with pytest.raises(Cancelled, match="stop"), background_stages(StageTimer(listener), threads=True) as background:
        heard = background.start("audio", endless)
        assert began.wait(10)
        listener.cancelled = True
        heard()

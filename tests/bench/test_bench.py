"""The bench itself still works; what it measures here means nothing."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml.inference.pipeline.analyzer import Analyzer
from tests.bench import baseline, pipeline, report
from tests.bench.gpu import MODELS, GpuBench
from tests.bench.load import Connection, Tally, get
from tests.bench.media import make_clip
from tests.bench.processes import cpu_seconds, peak_memory, tree, watched
from tests.bench.timing import Figure, alternate
from tests.published_models import published_analyzer

HEIGHT = 180
AT_ONCE = [f"real-time factor, 1 at once by {way}" for way in ("threads", "processes")]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip of one second."""
    folder = tmp_path_factory.mktemp("clips")
    make_clip(folder, 1, HEIGHT)
    return folder


@pytest.fixture(scope="module")
def clip(clips: Path) -> Path:
    return make_clip(clips, 1, HEIGHT)


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return published_analyzer()


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that has started another, which leads a session of its own and holds 100 MB."""
    hold = "import time; held = b'x' * 100_000_000; print('held', flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        for pid in tree(process.pid):
            os.kill(pid, 9)


def test_sides_begin_in_turn() -> None:
    order: list[str] = []
    taken = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, warm_up=False)
    assert order == ["a", "b", "b", "a"]
    assert [len(each.seconds) == len(each.computing) == 2 for each in taken.values()] == [True, True]


@pytest.mark.parametrize(
    ("value", "cores", "verdict"),
    [(1.0, 2, "aim"), (2.0, 2, "floor"), (4.0, 2, "missed"), (1.0, 4, "")],
)
def test_verdicts_are_of_two_cores(value: float, cores: int, verdict: str) -> None:
    assert Figure("ratio", "×", [value], floor=3.0, aim=1.5, cores=cores).verdict == verdict


def test_memory_is_of_a_process_and_not_of_the_one_that_started_it(sleeper: int) -> None:
    (child,) = tree(sleeper) - {sleeper}
    assert peak_memory(child) > 100
    assert peak_memory(sleeper) < 50 < peak_memory(os.getpid())
    assert cpu_seconds(sleeper) > cpu_seconds(child) > 0
    with watched(sleeper) as seen:
        asyncio.run(asyncio.sleep(0.5))
    assert seen.tree > 100


def test_an_answer_without_a_length_is_an_error() -> None:
    async def ask() -> Tally:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

        tally = Tally()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            connection = Connection(server.sockets[0].getsockname()[1])
            await connection.count(get("/"), 200, tally)
        return tally

    assert asyncio.run(ask()).errors == {"ConnectionError": 1}


def test_figures_of_other_names_stay(tmp_path: Path) -> None:
    report.write(tmp_path, "one", [Figure("a", "s", [1.0, 2.0, 4.0])], report.machine())
    report.write(tmp_path, "two", [Figure("b", "s", [3.0])], report.machine())
    report.write(tmp_path, "one", [Figure("a", "s", [5.0, 7.0, 9.0], floor=8.0)], report.machine())
    entries = json.loads((tmp_path / "bench.json").read_text())["entries"]
    assert list(entries) == ["one", "two"] and {"date", "commit", "machine"} < entries["two"].keys()
    (figure,) = map(Figure.read, entries["one"]["figures"])
    assert (figure.values, figure.median, figure.most) == ([5.0, 7.0, 9.0], 7.0, 9.0)
    assert (tmp_path / "bench.png").stat().st_size > 0
    assert "| a | 7 s | 5 … 9 | 8 |" in report.table([figure])


def test_a_clip_is_timed_against_its_decoding_and_by_stages(
    clip: Path, analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = list(pipeline.against_decode(analyzer, clip, "1 s", 1, floor=6.0, aim=3.0))
    assert [figure.unit for figure in figures] == ["s", "×", "×"] and all(figure.least > 0 for figure in figures)
    whole, *shares = pipeline.shares(lambda: analyzer.analyze(clip), "1 s", 1)
    assert whole.least > 0 and 0 < sum(figure.median for figure in shares) <= 100
    assert analyzer.models.face
    assert [size for size, _ in pipeline.faces_a_second(analyzer.models.face, 1, (1, 2))] == [1, 2]
    (ratio,) = pipeline.torch_against_graph(analyzer.models.face, 1, 2)
    assert ratio.least > 0
    monkeypatch.setattr(pipeline, "SEARCHES", 1)
    assert [figure.least > 0 for figure in pipeline.detection(48, 1)] == [True] * 3


def test_the_plain_way_reads_the_clip(clip: Path) -> None:
    assert baseline.read(clip) > 1


def test_the_bench_of_a_gpu_runs_on_a_cpu(clips: Path, analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Analyzer, "load", lambda *_, **__: analyzer)
    bench = GpuBench(clips, 1, "cpu", 1, HEIGHT, (1,), (1,))
    names = [figure.name for figure in bench.gpu()]
    for stage in ("pictures decoded", "detection and mesh", "real-time factor of the models alone", *AT_ONCE, *MODELS):
        assert any(name.startswith(f"cpu: {stage}, ") for name in names)

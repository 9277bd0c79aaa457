"""The supervisor as a process of its own: with stand-ins for its children, and with the whole service."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ml.registry import Bundle, ModelStore
from tests.media_files import make_image
from workers.process.supervisor import RunSettings, StartupError, check_port, exclusive_lock, socket_path

ROOT = Path(__file__).parents[3]
STAND_INS = """
import signal, sys
from pathlib import Path
from workers.process.supervisor import WATCHED_SIGNALS, ProcessSpec, Supervisor

def say(line):
    print(line, flush=True)

def shell(name, script, seconds=5.0):
    return ProcessSpec(name, ("bash", "-c", script), stop_seconds=seconds)

signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
programs = [%s]
ready = %s
sys.exit(Supervisor(programs, Path("logs"), dict(PATH="/usr/bin:/bin"), say).run(ready, lambda: say("ready")))
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@contextmanager
def running(*command: str, cwd: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process whose output can be read; killed at the end when it still runs."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], part: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(f"{part!r} was not said")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_supervisor_killed_child_is_restarted_and_its_group_killed(tmp_path: Path) -> None:
    code = STAND_INS % ("shell('worker', 'sleep 1000 & echo $! > orphan; echo $$ > pid; wait')", "lambda: True")
    with running("-c", code, cwd=tmp_path) as process:
        read_until(process, "ready")
        first, orphan = pid_in(tmp_path / "pid"), pid_in(tmp_path / "orphan")
        (tmp_path / "pid").unlink()
        os.kill(first, signal.SIGKILL)
        assert "killed by SIGKILL" in read_until(process, "worker exited")
        second = pid_in(tmp_path / "pid")
        assert second != first
        until(lambda: not alive(orphan))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not alive(second)


def test_supervisor_starts_children_in_order_and_stops_them_in_reverse(tmp_path: Path) -> None:
    ending = "trap 'echo %s >> ends; exit' TERM; touch %s; while :; do sleep 0.05; done"
    first = f"ProcessSpec('first', ('bash', '-c', '''{ending % ('first', 'one')}'''), 5.0, Path('go').exists)"
    second = f"shell('second', '''{ending % ('second', 'two')}''')"
    with running("-c", STAND_INS % (f"{first}, {second}", "Path('two').exists"), cwd=tmp_path) as process:
        until((tmp_path / "one").exists)
        assert not (tmp_path / "two").exists()
        (tmp_path / "go").touch()
        read_until(process, "ready")
        process.terminate()
        assert process.wait(20) == 0
    assert (tmp_path / "ends").read_text().split() == ["second", "first"]


@pytest.mark.slow
def test_supervisor_child_that_cannot_start_is_reported_with_its_log(tmp_path: Path) -> None:
    code = STAND_INS % ("shell('worker', 'echo the store is empty; exit 3')", "lambda: False")
    with running("-c", code, cwd=tmp_path) as process:
        said = read_until(process, "the store is empty")
        assert "the store is empty" in said and process.wait(20) == 1


def test_supervisor_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    deaf = "shell('worker', '''trap \"touch told\" TERM; touch up; while :; do sleep 0.05; done''', 1000.0)"
    with running("-c", STAND_INS % (deaf, "Path('up').exists"), cwd=tmp_path) as process:
        read_until(process, "ready")
        process.send_signal(signal.SIGINT)
        until((tmp_path / "told").exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_supervisor_killed_takes_its_children_along(tmp_path: Path) -> None:
    with running("-c", STAND_INS % ("shell('worker', 'echo $$ > pid; exec sleep 1000')", "lambda: True"), cwd=tmp_path):
        child = pid_in(tmp_path / "pid")
    until(lambda: not alive(child))


def test_exclusive_lock_second_holder_is_refused(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path):
        with pytest.raises(StartupError, match="already running"), exclusive_lock(tmp_path):
            pass
    with exclusive_lock(tmp_path):
        pass


def test_check_port_taken_port_is_refused(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)), pytest.raises(StartupError, match="AFFECT_PORT"):
        check_port("127.0.0.1", free_port)
    check_port("127.0.0.1", free_port)


def test_socket_path_too_long_is_in_a_temporary_folder(tmp_path: Path) -> None:
    with socket_path(tmp_path / ("long" * 30)) as path:
        assert len(str(path)) < 100 and path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()
    with socket_path(Path("/short")) as path:
        assert path == Path("/short/redis.sock")


def test_run_settings_without_a_redis_url_need_a_private_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFFECT_REDIS_URL", raising=False)
    assert RunSettings().needs_redis
    monkeypatch.setenv("AFFECT_REDIS_URL", "redis://127.0.0.1:6379/0")
    assert not RunSettings().needs_redis


def test_supervisor_invalid_setting_is_reported_without_a_traceback(tmp_path: Path) -> None:
    with running("-m", "workers.process.supervisor", cwd=tmp_path, AFFECT_PORT="0") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "port" in output and "Traceback" not in output


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_supervisor_restarted_service_finds_its_jobs_again(tmp_path: Path, free_port: int) -> None:
    ModelStore(tmp_path / "store").write_bundle(
        Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
    )
    settings = {
        "AFFECT_DATA_DIR": str(tmp_path / "data"),
        "AFFECT_MODEL_STORE": str(tmp_path / "store"),
        "AFFECT_PORT": str(free_port),
    }
    address = f"http://127.0.0.1:{free_port}"
    picture = make_image(tmp_path / "picture.png")
    with (
        running("-m", "workers.process.supervisor", cwd=ROOT, **settings) as process,
        httpx.Client(base_url=address) as client,
    ):
        assert address in read_until(process, "curl")
        with picture.open("rb") as file:
            job = client.post("/v1/jobs", files={"file": file}).raise_for_status().json()
        link = job["links"]["self"]
        until(lambda: client.get(link).json()["status"] == "succeeded")
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
        with pytest.raises(httpx.TransportError):
            client.get("/livez")
    with (
        running("-m", "workers.process.supervisor", cwd=ROOT, **settings) as process,
        httpx.Client(base_url=address) as client,
    ):
        read_until(process, "curl")
        assert client.get(link).json()["status"] == "succeeded"
        process.terminate()
        assert process.wait(40) == 0

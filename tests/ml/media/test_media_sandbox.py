import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml.errors import Cancelled, ProcessingTimeout
from ml.media.sandbox import MAX_ERROR_BYTES, ResourceLimits, SandboxedProcess, never_cancelled

RESOURCES = ResourceLimits(memory=2**30, cpu_seconds=60)


def start(
    *command: str,
    cwd: Path,
    resources: ResourceLimits = RESOURCES,
    check: Callable[[], None] = never_cancelled,
    seconds: float = 30.0,
) -> SandboxedProcess:
    return SandboxedProcess(command, cwd=cwd, resources=resources, check=check, wait_limit=lambda: seconds)


def shell(script: str, cwd: Path, **options: object) -> SandboxedProcess:
    return start("sh", "-c", script, cwd=cwd, **options)  # type: ignore[arg-type]


def gone(process: int) -> bool:
    """Whether a process has ended (one that only waits to be reaped has)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        threading.Event().wait(0.02)
    return False


def test_sandbox_returns_output_errors_and_status(tmp_path: Path) -> None:
    with shell("printf abcdef; printf oops >&2; exit 3", tmp_path) as child:
        buffer = bytearray(4)
        assert child.read_into(memoryview(buffer)) == 4
        assert bytes(buffer) == b"abcd"
        assert child.read_all(100) == b"ef"
        assert child.wait() == 3
    assert child.errors == "oops"


def test_sandbox_errors_keep_both_ends_and_are_bounded(tmp_path: Path) -> None:
    with shell("echo first >&2; seq 1 200000 >&2; echo last >&2", tmp_path) as child:
        assert child.wait() == 0
    assert child.errors.startswith("first\n1\n")
    assert child.errors.endswith("200000\nlast\n")
    assert len(child.errors) <= 2 * MAX_ERROR_BYTES


def test_sandbox_wait_drops_unread_output(tmp_path: Path) -> None:
    with shell("head -c 5000000 /dev/zero", tmp_path) as child:
        assert child.wait() == 0


def test_sandbox_limits_are_set_in_kernel(tmp_path: Path) -> None:
    resources = ResourceLimits(memory=2**30, cpu_seconds=7, file_bytes=2**20, open_files=32)
    with shell(
        "ulimit -v; ulimit -t; ulimit -f; ulimit -n; ulimit -c; ulimit -H -v", tmp_path, resources=resources
    ) as child:
        values = child.read_all(1000).split()
    assert values == [b"1048576", b"7", b"2048", b"32", b"0", b"1048576"]


def test_sandbox_with_gpu_limits_data_not_addresses(tmp_path: Path) -> None:
    resources = ResourceLimits(memory=2**30, cpu_seconds=7, with_gpu=True)
    with shell("ulimit -d; ulimit -v", tmp_path, resources=resources) as child:
        data, addresses = child.read_all(1000).split()
    assert data == b"1048576"
    own = resource.getrlimit(resource.RLIMIT_AS)[0]
    assert addresses == (b"unlimited" if own == resource.RLIM_INFINITY else str(own // 1024).encode())


def test_sandbox_out_of_memory_ends_child_alone(tmp_path: Path) -> None:
    resources = ResourceLimits(memory=200 * 2**20, cpu_seconds=60)
    script = "b = bytearray(10**9)"
    with start(sys.executable, "-S", "-c", script, cwd=tmp_path, resources=resources) as child:
        assert child.wait() == 1
    assert "MemoryError" in child.errors


def test_sandbox_cpu_limit_is_a_timeout(tmp_path: Path) -> None:
    with shell("while :; do :; done", tmp_path, resources=ResourceLimits(memory=2**30, cpu_seconds=1)) as child:
        with pytest.raises(ProcessingTimeout):
            child.wait()


def test_sandbox_wait_limit_is_a_timeout_and_kills(tmp_path: Path) -> None:
    with pytest.raises(ProcessingTimeout), shell("exec sleep 60", tmp_path, seconds=0.3) as child:
        child.wait()
    assert gone(child._process.pid)


def test_sandbox_time_of_waiting_child_is_not_counted(tmp_path: Path) -> None:
    with shell("head -c 3000000 /dev/zero", tmp_path, seconds=0.6) as child:
        threading.Event().wait(0.8)
        assert len(child.read_all(4_000_000)) == 3_000_000


def test_sandbox_cancelled_kills_whole_group(tmp_path: Path) -> None:
    def check() -> None:
        raise Cancelled("not wanted any more")

    began = time.monotonic()
    with pytest.raises(Cancelled), shell("sleep 60 & echo $!; wait", tmp_path, check=check) as child:
        line = bytearray(20)
        child.read_into(memoryview(line))
    assert time.monotonic() - began < 2
    assert gone(child._process.pid)
    grandchild = int(bytes(line).split(b"\n")[0])
    assert wait_until(lambda: gone(grandchild))


def test_sandbox_environment_is_minimal_and_without_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=report.log")
    with shell("env; pwd; wc -c", tmp_path) as child:
        text = child.read_all(10_000).decode()
    assert "FFREPORT" not in text
    assert str(tmp_path) in text
    assert text.split()[-1] == "0"


def test_sandbox_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        start("no-such-program", cwd=tmp_path)


def test_sandbox_child_outlives_starting_thread(tmp_path: Path) -> None:
    """The kernel's parent-death signal is sent when a thread ends; children are begun by one that stays."""
    children: list[SandboxedProcess] = []
    thread = threading.Thread(target=lambda: children.append(shell("sleep 0.3; echo done", tmp_path)))
    thread.start()
    thread.join()
    with children[0] as child:
        assert child.read_all(100) == b"done\n"
        assert child.wait() == 0


def test_sandbox_child_can_start_after_fork(tmp_path: Path) -> None:
    """Celery forks its workers; the thread that begins children does not survive that."""
    with shell("true", tmp_path) as child:
        child.wait()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            with shell("true", tmp_path) as child:
                status = child.wait()
        finally:
            os._exit(status)
    assert os.waitpid(process, 0) == (process, 0)


def test_sandbox_child_dies_with_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from ml.media.sandbox import ResourceLimits, SandboxedProcess\n"
        "child = SandboxedProcess(['sleep', '60'], cwd=Path(sys.argv[1]), resources=ResourceLimits(2**30, 60),"
        " check=lambda: None, wait_limit=lambda: 60)\n"
        "print(child._process.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    # the wrappers have been replaced by the program itself
    assert wait_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: gone(child))


def test_sandbox_write_to_pipe_until_reader_closes(tmp_path: Path) -> None:
    data = memoryview(bytes(range(256)) * 4096)  # more than a pipe holds
    for reader, whole in (("wc -c", True), ("head -c 10", False)):
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        command = ("sh", "-c", f"exec {reader} </dev/fd/{reading}")
        with SandboxedProcess(
            command,
            cwd=tmp_path,
            resources=RESOURCES,
            check=never_cancelled,
            wait_limit=lambda: 30.0,
            pass_fds=[reading],
        ) as child:
            os.close(reading)
            assert child.write_to_pipe(writing, data) is whole
            os.close(writing)
            out = child.read_all(64)
            assert out.strip() == str(len(data)).encode() if whole else out == bytes(range(10))

"""ffmpeg and ffprobe as child processes that cannot outlive, outgrow or outwait us.

Limits are set by a chain of `exec`s (`prlimit`, then `setpriv`, both of util-linux, which Debian always has) and not by
`preexec_fn`, which may deadlock in a process with threads; `prlimit` on the running child would leave a moment
without limits. `setpriv` also asks the kernel to kill the child when its parent dies (PR_SET_PDEATHSIG).
"""

import fcntl
import functools
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ml.errors import ProcessingTimeout

Check = Callable[[], None]
"""Raises (`Cancelled`, as a rule) when the work is no longer wanted."""

TICK_SECONDS = 0.25
PIPE_BYTES = 2**20
ERROR_BYTES = 16 * 2**10
KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Of our environment: the paths for an ffmpeg outside the system's folders, the GPU that is ours."""


@dataclass(frozen=True)
class Allowance:
    """What the kernel grants one child.

    `memory`: bytes of its address space, or, `with_gpu`, of the data in it alone: a GPU's driver reserves far more
    addresses than it fills.
    """

    memory: int
    cpu_seconds: int
    file_bytes: int = 0
    open_files: int = 64
    with_gpu: bool = False


def unchecked() -> None:
    """The `Check` of a caller who never cancels."""


class Child:
    """One running child process: a context manager whose exit kills what still runs.

    The child has a session and process group of its own, no standard input, and an environment that holds none of its
    tools' switches (FFREPORT writes files). `check` is called at least every quarter of a second while we wait.

    Args:
        command: program and arguments; nothing is expanded by a shell.
        cwd: an empty directory.
        patience: how many seconds we are ready to have waited for output by now; beyond it: `ProcessingTimeout`.
        pass_fds: descriptors that the child inherits, under the same numbers.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        allowance: Allowance,
        check: Check,
        patience: Callable[[], float],
        pass_fds: Sequence[int] = (),
    ) -> None:
        program = shutil.which(command[0])
        if program is None:
            raise FileNotFoundError(f"{command[0]} is not installed")
        self._check = check
        self._patience = patience
        self._waited = 0.0
        self._checked_at = time.monotonic()
        self._first_errors = b""
        self._last_errors = b""
        self._process = _spawn([*_bounded(allowance), program, *command[1:]], cwd, pass_fds)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._output = self._process.stdout.fileno()
        self._error = self._process.stderr.fileno()
        with suppress(OSError):  # a user may have used up the pages that pipes are granted
            fcntl.fcntl(self._output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._selector.register(self._error, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def errors(self) -> str:
        """The beginning and the end of what the child said on standard error. For us: it may quote the media."""
        return (self._first_errors + self._last_errors).decode("utf-8", "replace")

    def read_into(self, buffer: memoryview) -> int:
        """Fills `buffer` (bytes) from standard output. Returns the bytes filled: fewer only where the output ends."""
        filled = 0
        while filled < len(buffer) and self._output_open:
            if self._output in self._wait():
                count = os.readv(self._output, [buffer[filled:]])
                filled += count
                if count == 0:
                    self._selector.unregister(self._output)
        return filled

    def renew(self, check: Check, patience: Callable[[], float]) -> None:
        """Begins another piece of work of a child that is kept: who may end it, and how long it may take."""
        self._check, self._patience = check, patience
        self._waited = 0.0
        self._first_errors = self._last_errors = b""

    def said(self) -> str:
        """`errors`, with all that has been said on standard error so far."""
        while self._error in {key.fd for key, _ in self._selector.select(0)}:
            self._take_errors()
        return self.errors

    def drop_errors(self) -> None:
        """Forgets what the child has said on standard error so far."""
        self.said()
        self._first_errors = self._last_errors = b""

    def read_all(self, limit: int) -> bytes:
        """Everything on standard output, cut at `limit` bytes."""
        buffer = bytearray(limit)
        return bytes(buffer[: self.read_into(memoryview(buffer))])

    def feed(self, pipe: int, data: memoryview) -> bool:
        """Writes all of `data` (bytes) to a non-blocking pipe whose other end the child holds. False: it reads no more,
        and will soon have ended."""
        self._selector.register(pipe, selectors.EVENT_WRITE)
        try:
            while data:
                if pipe in self._wait():
                    data = data[os.write(pipe, data) :]
            return True
        except BrokenPipeError:
            return False
        finally:
            self._selector.unregister(pipe)

    def wait(self) -> int:
        """Waits for the end, dropping output that nobody read. Returns the exit status (negative: the signal)."""
        spill = memoryview(bytearray(PIPE_BYTES))
        while self._output_open:
            self.read_into(spill)
        while self._error in self._selector.get_map():
            self._wait()
        status = self._process.wait()
        if status in (-signal.SIGXCPU, -signal.SIGKILL):  # RLIMIT_CPU, or the kernel was out of memory
            raise ProcessingTimeout("Reading the media took more computing time or memory than allowed.")
        return status

    def kill(self) -> None:
        """Kills the whole process group and reaps the child. Harmless when it has ended."""
        _kill(self._process)
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def _output_open(self) -> bool:
        return self._output in self._selector.get_map()

    def _wait(self) -> set[int]:
        """Waits a tick at most; takes in standard error; says which of the descriptors are ready."""
        began = time.monotonic()
        if began - self._checked_at >= TICK_SECONDS:
            self._check()
            self._checked_at = began
        ready = {key.fd for key, _ in self._selector.select(TICK_SECONDS)}
        self._waited += time.monotonic() - began
        if self._waited > self._patience():
            raise ProcessingTimeout("Reading the media took longer than allowed.")
        if self._error in ready:
            self._take_errors()
        return ready

    def _take_errors(self) -> None:
        text = os.read(self._error, 65536)
        if not text:
            self._selector.unregister(self._error)
        room = ERROR_BYTES - len(self._first_errors)
        self._first_errors += text[:room]
        self._last_errors = (self._last_errors + text[room:])[-ERROR_BYTES:]


def _bounded(allowance: Allowance) -> list[str]:
    """The words before a command that make it run under `allowance` and die with us."""
    memory, limit_of_memory = ("data", resource.RLIMIT_DATA) if allowance.with_gpu else ("as", resource.RLIMIT_AS)
    wanted = {
        memory: (limit_of_memory, allowance.memory),
        "cpu": (resource.RLIMIT_CPU, allowance.cpu_seconds),
        "fsize": (resource.RLIMIT_FSIZE, allowance.file_bytes),
        "nofile": (resource.RLIMIT_NOFILE, allowance.open_files),
        "core": (resource.RLIMIT_CORE, 0),
    }
    flags = [f"--{name}={_within_hard_limit(limit, amount)}" for name, (limit, amount) in wanted.items()]
    return ["prlimit", *flags, "--", "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"]


def _within_hard_limit(limit: int, amount: int) -> int:
    """Our own hard limit may be lower already, and only root may raise it."""
    hard = resource.getrlimit(limit)[1]
    return amount if hard == resource.RLIM_INFINITY else min(amount, hard)


@functools.cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    """One thread that starts all children of this process, and lives as long as the process.

    The kernel sends the parent-death signal when the *thread* that started the child ends. Keyed by the process id: a
    thread does not survive a fork (Celery forks its workers).
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"children-of-{pid}")


def _spawn(command: list[str], cwd: Path, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    # An arena reserves 64 MiB of the address space.
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    environment = {"LC_ALL": "C", "MALLOC_ARENA_MAX": "2", **kept}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            pass_fds=tuple(pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    future = _spawner(os.getpid()).submit(start)
    try:
        return future.result()
    except BaseException:  # Ctrl-C or a time limit's signal while the child was starting
        future.add_done_callback(_discard)
        raise


def _discard(future: "Future[subprocess.Popen[bytes]]") -> None:
    if not future.cancelled() and future.exception() is None:
        _kill(future.result())


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

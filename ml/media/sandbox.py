"""Child processes under limits of time, CPU, memory and disk, for programs that read untrusted media (ffmpeg, ffprobe).

A chain of `exec`s sets the limits (`prlimit`, then `setpriv`, both of util-linux, which Debian always has).
`preexec_fn` may deadlock in a process with threads, and `prlimit` on the running child would leave a moment without
limits. `setpriv` also asks the kernel to kill the child when its parent dies (PR_SET_PDEATHSIG).
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

CancelCheck = Callable[[], None]
"""Function that raises (usually `Cancelled`) if the work is cancelled, and else returns."""

POLL_SECONDS = 0.25
"""Maximum seconds between two calls of `check` while waiting."""
PIPE_BYTES = 2**20
"""Bytes of a pipe's buffer."""
MAX_ERROR_BYTES = 16 * 2**10
"""Maximum bytes kept of the beginning, and of the end, of standard error."""
INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Environment variables passed to the child: paths of an ffmpeg outside the system folders, and the assigned GPU."""


@dataclass(frozen=True)
class ResourceLimits:
    """Resource limits of one child process, enforced by the kernel.

    `memory`: bytes of address space, or, `with_gpu`, of data: a GPU driver reserves far more addresses than it uses.
    `file_bytes`: maximum bytes of a file that it writes.
    """

    memory: int
    cpu_seconds: int
    file_bytes: int = 0
    open_files: int = 64
    with_gpu: bool = False


def never_cancelled() -> None:
    """Do nothing: the `CancelCheck` of a caller that never cancels."""


class SandboxedProcess:
    """One running child process. A context manager: leaving it kills the process group.

    The child has its own session and process group, no standard input, and an environment without the variables that
    control its tools (FFREPORT writes files).

    Args:
        command: program and arguments; nothing is expanded by a shell.
        cwd: an empty folder.
        resources: limits that the kernel enforces.
        check: called at least every `POLL_SECONDS` while waiting; raises if the work is cancelled.
        wait_limit: returns the maximum seconds that all waiting for output may have taken by now. Beyond it,
            ProcessingTimeout is raised.
        pass_fds: descriptors that the child inherits, under the same numbers.

    Raises FileNotFoundError if the program is not installed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        resources: ResourceLimits,
        check: CancelCheck,
        wait_limit: Callable[[], float],
        pass_fds: Sequence[int] = (),
    ) -> None:
        program = shutil.which(command[0])
        if program is None:
            raise FileNotFoundError(f"{command[0]} is not installed")
        self._check = check
        self._wait_limit = wait_limit
        self._waited = 0.0
        self._checked_at = time.monotonic()
        self._first_errors = b""
        self._last_errors = b""
        self._process = _spawn([*_command_prefix(resources), program, *command[1:]], cwd, pass_fds)
        assert self._process.stdout is not None and self._process.stderr is not None
        self._output = self._process.stdout.fileno()
        self._error = self._process.stderr.fileno()
        with suppress(OSError):  # the user's quota of pipe pages may be exhausted
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
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def errors(self) -> str:
        """Beginning and end of standard error. Not to be shown to callers: it may quote the media."""
        return (self._first_errors + self._last_errors).decode("utf-8", "replace")

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` (bytes) from standard output. Return the bytes filled: fewer only if the output ended."""
        filled = 0
        while filled < len(buffer) and self._output_is_open:
            if self._output in self._wait():
                count = os.readv(self._output, [buffer[filled:]])
                filled += count
                if count == 0:
                    self._selector.unregister(self._output)
        return filled

    def reset(self, check: CancelCheck, wait_limit: Callable[[], float]) -> None:
        """Prepare a reused child for its next task: set `check` and `wait_limit`, forget time waited and errors."""
        self._check, self._wait_limit = check, wait_limit
        self._waited = 0.0
        self._first_errors = self._last_errors = b""

    def collect_errors(self) -> str:
        """Read what is pending on standard error, and return `errors`."""
        while self._error in {key.fd for key, _ in self._selector.select(0)}:
            self._read_errors()
        return self.errors

    def discard_errors(self) -> None:
        """Read and forget what is on standard error so far."""
        self.collect_errors()
        self._first_errors = self._last_errors = b""

    def read_all(self, limit: int) -> bytes:
        """Return everything on standard output, truncated at `limit` bytes."""
        buffer = bytearray(limit)
        return bytes(buffer[: self.read_into(memoryview(buffer))])

    def write_to_pipe(self, pipe: int, data: memoryview) -> bool:
        """Write all of `data` (bytes) to a non-blocking pipe that the child reads. Return False if it was closed."""
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
        """Wait until the child exits, dropping unread output. Return the exit status (negative: the signal).

        Raises ProcessingTimeout if it exceeded its resource limits.
        """
        spill = memoryview(bytearray(PIPE_BYTES))
        while self._output_is_open:
            self.read_into(spill)
        while self._error in self._selector.get_map():
            self._wait()
        status = self._process.wait()
        if status in (-signal.SIGXCPU, -signal.SIGKILL):  # RLIMIT_CPU, or the kernel ran out of memory
            raise ProcessingTimeout("The file needs more processing time or memory than allowed.")
        return status

    def kill(self) -> None:
        """Kill the process group and reap the child. Does nothing if the child has already exited."""
        _kill(self._process)
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def _output_is_open(self) -> bool:
        return self._output in self._selector.get_map()

    def _wait(self) -> set[int]:
        """Wait at most `POLL_SECONDS`, read pending standard error, and return the descriptors that are ready."""
        began = time.monotonic()
        if began - self._checked_at >= POLL_SECONDS:
            self._check()
            self._checked_at = began
        ready = {key.fd for key, _ in self._selector.select(POLL_SECONDS)}
        self._waited += time.monotonic() - began
        if self._waited > self._wait_limit():
            raise ProcessingTimeout("Reading the file took too long.")
        if self._error in ready:
            self._read_errors()
        return ready

    def _read_errors(self) -> None:
        text = os.read(self._error, 65536)
        if not text:
            self._selector.unregister(self._error)
        room = MAX_ERROR_BYTES - len(self._first_errors)
        self._first_errors += text[:room]
        self._last_errors = (self._last_errors + text[room:])[-MAX_ERROR_BYTES:]


def _command_prefix(resources: ResourceLimits) -> list[str]:
    """Return the words before a command that set its limits and kill it when its parent dies."""
    memory, memory_limit = ("data", resource.RLIMIT_DATA) if resources.with_gpu else ("as", resource.RLIMIT_AS)
    limits = {
        memory: (memory_limit, resources.memory),
        "cpu": (resource.RLIMIT_CPU, resources.cpu_seconds),
        "fsize": (resource.RLIMIT_FSIZE, resources.file_bytes),
        "nofile": (resource.RLIMIT_NOFILE, resources.open_files),
        "core": (resource.RLIMIT_CORE, 0),
    }
    flags = [f"--{name}={_within_hard_limit(limit, amount)}" for name, (limit, amount) in limits.items()]
    return ["prlimit", *flags, "--", "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"]


def _within_hard_limit(limit: int, amount: int) -> int:
    """Return `amount`, or this process's own hard limit if that is lower: only root may raise it."""
    hard = resource.getrlimit(limit)[1]
    return amount if hard == resource.RLIM_INFINITY else min(amount, hard)


@functools.cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    """Return the thread that starts all children of this process and lives as long as the process.

    The kernel sends the parent-death signal when the *thread* that started the child ends. Keyed by the process id: a
    thread does not survive a fork (Celery forks its workers).
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"children-of-{pid}")


def _spawn(command: list[str], cwd: Path, pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    # Each malloc arena reserves 64 MiB of address space.
    inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    environment = {"LC_ALL": "C", "MALLOC_ARENA_MAX": "2", **inherited}

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
    except BaseException:  # Ctrl-C, or the signal of a time limit, while the child was starting
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

"""`make run`: a private Redis, the workers and the gateway as children of one process.

A child that dies is started again, later each time that it dies young. Ctrl-C ends the gateway first, then the
workers (they hand their jobs back), then Redis, whose append-only file keeps the jobs for the next start. Should this
process be killed, the kernel ends the children (`PR_SET_PDEATHSIG`).
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis
from pydantic import Field

from workers.protocol.settings_base import EnvironmentSettings

STOP = {signal.SIGINT, signal.SIGTERM}
WATCHED = STOP | {signal.SIGCHLD}
LONG_LIFE = 60.0
"""Seconds after which a child that dies is taken to have been well."""
LONGEST_PAUSE = 30.0
HOPELESS = 4
"""Deaths in a row, before the service was ever ready, after which it is given up."""
LOG_BYTES = 16 * 2**20
_LONGEST_SOCKET_PATH = 100
_PR_SET_PDEATHSIG = 1


class RunSettings(EnvironmentSettings):
    """What the supervisor itself has to know; its children read their own settings."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    data_dir: Path = Path(".affect")
    redis_url: str | None = None
    api_keys: str = ""
    metrics_port: int | None = Field(None, ge=1, le=65000)

    @property
    def address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


class CannotStart(Exception):
    """Told to the person who started it, as one line."""


@dataclass(frozen=True)
class Program:
    """A child to be. The next one is started once `is_up`; at the end it has `stop_seconds` before it is killed.
    `environment`: its own, besides that of all."""

    name: str
    command: tuple[str, ...]
    stop_seconds: float
    is_up: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    started: float = 0.0
    due: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, environment: Mapping[str, str]) -> None:
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.program.command,
                env={**environment, **self.program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_bound_to_parent,
            )

    def bury(self) -> str:
        """Notes a death, ends what the child left behind, and tells when it is started again."""
        assert self.process
        status = self.process.returncode
        self._kill_group()
        lived = time.monotonic() - self.started
        self.deaths = 1 if lived > LONG_LIFE else self.deaths + 1
        pause = min(0.25 * 2**self.deaths, LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        return (
            f"The {self.program.name} ended ({_status(status)}) and is started again in {pause:.1f} s; see {self.log}"
        )

    def stop(self, give_up: Callable[[float], bool]) -> None:
        """SIGTERM, and SIGKILL when its time is over or `give_up` (waits some seconds at most) says so."""
        if self.process is None:
            return
        if self.running:
            self.process.terminate()
            until = time.monotonic() + self.program.stop_seconds
            while self.running and time.monotonic() < until and not give_up(until - time.monotonic()):
                pass
        self._kill_group()

    def _kill_group(self) -> None:
        assert self.process
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def last_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _status(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _bound_to_parent() -> None:
    """Runs in the child before its program: its signals are free again, and it ends when the supervisor does."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Runs programs until a signal ends them. The caller's thread has blocked the signals `WATCHED`."""

    def __init__(
        self, programs: Sequence[Program], logs: Path, environment: Mapping[str, str], say: Callable[[str], None]
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [Child(program, _fresh_log(logs / f"{program.name}.log")) for program in programs]
        self._environment = environment
        self._say = say

    def run(self, is_ready: Callable[[], bool], announce: Callable[[], None]) -> int:
        """0 after a signal; 1 when a child does not come up."""
        ready = False
        try:
            while True:
                self._mend()
                if not ready and is_ready():
                    ready = True
                    announce()
                hopeless = [child for child in self._children if child.deaths >= HOPELESS]
                if hopeless and not ready:
                    self._say(f"The {hopeless[0].program.name} does not come up:\n{hopeless[0].last_lines()}")
                    return 1
                if _signal_within(self._pause(ready)) in STOP:
                    self._say("Affect ends …")
                    return 0
        finally:
            self._stop()

    def _mend(self) -> None:
        for child in self._children:
            if child.process is not None and not child.running:
                self._say(child.bury())
            if child.process is None and time.monotonic() >= child.due:
                child.start(self._environment)
            if not child.running or not child.program.is_up():
                return

    def _pause(self, ready: bool) -> float:
        """Seconds until there is something to do, unless a signal comes before."""
        if not ready or not all(child.running for child in self._children):
            return 0.1
        return 3600.0

    def _stop(self) -> None:
        hurried = False

        def give_up(seconds: float) -> bool:
            nonlocal hurried
            hurried = hurried or _signal_within(seconds) in STOP
            return hurried

        for child in reversed(self._children):
            child.stop(give_up)


def _signal_within(seconds: float) -> signal.Signals | None:
    found = signal.sigtimedwait(WATCHED, max(seconds, 0))
    return signal.Signals(found.si_signo) if found else None


def _fresh_log(path: Path) -> Path:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    path.touch(mode=0o600)
    return path


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the folder's lock. Raises CannotStart when another process does."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"Affect runs already on {folder}: end it first, or set AFFECT_DATA_DIR.") from None
        yield


def check_port(host: str, port: int) -> None:
    """Raises CannotStart when something listens there already, or the address is not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise CannotStart(f"{host}:{port} cannot be listened at ({error.strerror}): set AFFECT_PORT.") from None


@contextmanager
def socket_path(folder: Path) -> Iterator[Path]:
    """Where Redis listens: in its folder, or, where that path is too long for a socket, in a private temporary one."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="affect-") as short:
        yield Path(short) / "redis.sock"


def redis_program(folder: Path, path: Path) -> Program:
    """A Redis that only this user reaches, and that loses a second of writes at most."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    command = ["redis-server", *(part for name, value in options.items() for part in (f"--{name}", value))]
    return Program("Redis", tuple(command), stop_seconds=10, is_up=lambda: _answers(f"unix://{path}"))


def worker_program(name: str, kinds: str) -> Program:
    command = (sys.executable, "-m", "workers", "--kinds", kinds)
    return Program(name, command, stop_seconds=20)


def with_metrics(programs: Sequence[Program], first: int) -> list[Program]:
    """The programs, each with a port of its own for metrics: the gateway's is the first, then they follow in order."""
    ordered = sorted(programs, key=lambda program: program.name != "gateway")
    ports = {program.name: str(port) for port, program in enumerate(ordered, first)}
    return [replace(program, environment={"AFFECT_METRICS_PORT": ports[program.name]}) for program in programs]


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _announcement(settings: RunSettings) -> str:
    key = ' -H "Authorization: Bearer $KEY"' if settings.api_keys else ""
    return (
        f"Affect is ready: {settings.address} (documentation: {settings.address}/docs). Ctrl-C ends it.\n"
        f"  curl{key} -F file=@video.mp4 {settings.address}/v1/jobs"
    )


def _say(line: str) -> None:
    print(line, flush=True)


def supervise(settings: RunSettings) -> int:
    """Runs the service until it is ended; the exit status."""
    folder = settings.data_dir.resolve()
    with only_one(folder), socket_path(folder / "redis") as path:
        check_port(settings.host, settings.port)
        programs = [
            worker_program("worker", "inference"),
            worker_program("io-worker", "io"),
            Program("gateway", (sys.executable, "-m", "app"), stop_seconds=8),
            worker_program("live-worker", "live"),
        ]
        if settings.metrics_port is not None:
            programs = with_metrics(programs, settings.metrics_port)
        environment = {**os.environ, "AFFECT_DATA_DIR": str(folder)}
        if settings.redis_url is None:
            programs.insert(0, redis_program(folder / "redis", path))
            environment["AFFECT_REDIS_URL"] = f"unix://{path}"
        _say(f"Affect starts: the models are loaded (logs: {folder / 'logs'}) …")
        supervisor = Supervisor(programs, folder / "logs", environment, _say)
        return supervisor.run(lambda: _is_ready(settings.address), lambda: _say(_announcement(settings)))


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        return supervise(RunSettings())
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

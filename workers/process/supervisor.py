"""Supervisor of `make run`: a private Redis, the workers and the gateway as children of one process.

A child that exits is restarted, after a longer pause each time that it exits early. Ctrl-C stops the gateway first,
then the workers (they requeue their jobs), then Redis, which keeps the jobs in its append-only file for the next start.
If this process is killed, the kernel stops the children (`PR_SET_PDEATHSIG`).
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
from pydantic import Field, ValidationError

from workers.protocol.private_files import restrict_folder, restrict_process
from workers.protocol.settings import SharedSettings

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
WATCHED_SIGNALS = STOP_SIGNALS | {signal.SIGCHLD}
STABLE_SECONDS = 60.0
"""Seconds after which a running child is considered stable: its exit counts as the first."""
MAX_RESTART_PAUSE_SECONDS = 30.0
MAX_STARTUP_EXITS = 4
"""Exits of a child in a row after which the supervisor gives up, if the service was never ready."""
MAX_LOG_BYTES = 16 * 2**20
_MAX_SOCKET_PATH_BYTES = 100
_PR_SET_PDEATHSIG = 1


class RunSettings(SharedSettings):
    """Settings that the supervisor itself needs. Its children read their own."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    api_keys: str = ""
    metrics_port: int | None = Field(None, ge=1, le=65000)

    @property
    def needs_redis(self) -> bool:
        """Whether no Redis is configured, so that the supervisor runs a private one."""
        return "redis_url" not in self.model_fields_set

    @property
    def address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


class StartupError(Exception):
    """User-facing start-up error, printed as one line."""


@dataclass(frozen=True)
class ProcessSpec:
    """Specification of a child process. The next child starts once `is_up` returns true. On shutdown the child has
    `stop_seconds` before it is killed. `environment`: its own variables, in addition to those of all children."""

    name: str
    command: tuple[str, ...]
    stop_seconds: float
    is_up: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ManagedProcess:
    """Child process that is restarted when it exits. `exits`: exits in a row. `start_at`: earliest time of the next
    start."""

    spec: ProcessSpec
    log: Path
    process: subprocess.Popen[bytes] | None = None
    exits: int = 0
    started_at: float = 0.0
    start_at: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, environment: Mapping[str, str]) -> None:
        self.started_at = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.spec.command,
                env={**environment, **self.spec.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepare_child,
            )

    def handle_exit(self) -> str:
        """Record the exit, kill what is left of the process group, schedule the restart. Return the message for the
        user."""
        assert self.process
        code = self.process.returncode
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        self._kill_group()
        stable = time.monotonic() - self.started_at > STABLE_SECONDS
        self.exits = 1 if stable else self.exits + 1
        pause = min(0.25 * 2**self.exits, MAX_RESTART_PAUSE_SECONDS)
        self.start_at = time.monotonic() + pause
        return f"The {self.spec.name} exited ({reason}). Restarting it in {pause:.1f} s; log: {self.log}"

    def stop(self, hurry: Callable[[float], bool]) -> None:
        """Send SIGTERM, then SIGKILL once the time is up or `hurry` (which waits up to its seconds) returns true."""
        if self.process is None:
            return
        if self.running:
            self.process.terminate()
            deadline = time.monotonic() + self.spec.stop_seconds
            while self.running and time.monotonic() < deadline and not hurry(deadline - time.monotonic()):
                pass
        self._kill_group()

    def _kill_group(self) -> None:
        assert self.process
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def last_log_lines(self, count: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def _prepare_child() -> None:
    """Unblock signals in the child before it executes its program, and tie its life to the supervisor's."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED_SIGNALS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Runs child processes until a signal stops them. The caller's thread must have blocked `WATCHED_SIGNALS`."""

    def __init__(
        self, specs: Sequence[ProcessSpec], logs: Path, environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [ManagedProcess(spec, _rotated_log(logs / f"{spec.name}.log")) for spec in specs]
        self._environment = environment
        self._report = report

    def run(self, is_ready: Callable[[], bool], announce: Callable[[], None]) -> int:
        """Run until a signal arrives. Return the exit status: 0 after a signal, 1 if a child cannot start."""
        ready = False
        try:
            while True:
                self._restart_due()
                if not ready and is_ready():
                    ready = True
                    announce()
                failing = [child for child in self._children if child.exits >= MAX_STARTUP_EXITS]
                if failing and not ready:
                    self._report(f"The {failing[0].spec.name} cannot start:\n{failing[0].last_log_lines()}")
                    return 1
                idle = ready and all(child.running for child in self._children)
                if _wait_for_signal(3600.0 if idle else 0.1) in STOP_SIGNALS:
                    self._report("Affect is stopping …")
                    return 0
        finally:
            self._stop()

    def _restart_due(self) -> None:
        """Start, in order, the children that are due, as long as those before them are up."""
        for child in self._children:
            if child.process is not None and not child.running:
                self._report(child.handle_exit())
            if child.process is None and time.monotonic() >= child.start_at:
                child.start(self._environment)
            if not child.running or not child.spec.is_up():
                return

    def _stop(self) -> None:
        hurried = False

        def hurry(seconds: float) -> bool:
            nonlocal hurried
            hurried = hurried or _wait_for_signal(seconds) in STOP_SIGNALS
            return hurried

        for child in reversed(self._children):
            child.stop(hurry)


def _wait_for_signal(seconds: float) -> signal.Signals | None:
    info = signal.sigtimedwait(WATCHED_SIGNALS, max(seconds, 0))
    return signal.Signals(info.si_signo) if info else None


def _rotated_log(path: Path) -> Path:
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    path.touch(mode=0o600)
    return path


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of the data directory. Raises StartupError if another process holds it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"Affect is already running on {folder}: stop it first, or set AFFECT_DATA_DIR."
            raise StartupError(message) from None
        yield


def check_port(host: str, port: int) -> None:
    """Raises StartupError if the port is taken or the address is not one of this machine."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise StartupError(f"Cannot listen on {host}:{port} ({error.strerror}): set AFFECT_PORT.") from None


@contextmanager
def socket_path(folder: Path) -> Iterator[Path]:
    """Path of the Redis socket: in its folder, or in a private temporary one if that path is too long for a socket."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="affect-") as short:
        yield Path(short) / "redis.sock"


def redis_spec(folder: Path, path: Path) -> ProcessSpec:
    """Return the specification of a Redis that only this user can reach, and that loses at most a second of writes."""
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
    return ProcessSpec("Redis", tuple(command), stop_seconds=10, is_up=lambda: _redis_answers(f"unix://{path}"))


def worker_spec(name: str, kinds: str) -> ProcessSpec:
    command = (sys.executable, "-m", "workers", "--kinds", kinds)
    return ProcessSpec(name, command, stop_seconds=20)


def with_metrics_ports(specs: Sequence[ProcessSpec], first: int) -> list[ProcessSpec]:
    """Give each process its own metrics port: `first` for the gateway, the following ones for the others in order."""
    ordered = sorted(specs, key=lambda spec: spec.name != "gateway")
    ports = {spec.name: str(port) for port, spec in enumerate(ordered, first)}
    return [replace(spec, environment={"AFFECT_METRICS_PORT": ports[spec.name]}) for spec in specs]


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _announcement(settings: RunSettings) -> str:
    key = ' -H "Authorization: Bearer $KEY"' if settings.api_keys else ""
    return (
        f"Affect is ready: {settings.address} (documentation: {settings.address}/docs). Press Ctrl-C to stop.\n"
        f"  curl{key} -F file=@video.mp4 {settings.address}/v1/jobs"
    )


def _report(line: str) -> None:
    print(line, flush=True)


def supervise(settings: RunSettings) -> int:
    """Run the service until it is stopped. Return the exit status."""
    folder = settings.data_dir.resolve()
    restrict_process()
    restrict_folder(folder)
    with exclusive_lock(folder), socket_path(folder / "redis") as path:
        check_port(settings.host, settings.port)
        specs = [
            worker_spec("worker", "inference"),
            worker_spec("io-worker", "io"),
            ProcessSpec("gateway", (sys.executable, "-m", "app"), stop_seconds=8),
            worker_spec("live-worker", "live"),
        ]
        if settings.metrics_port is not None:
            specs = with_metrics_ports(specs, settings.metrics_port)
        environment = {**os.environ, "AFFECT_DATA_DIR": str(folder)}
        if settings.needs_redis:
            specs.insert(0, redis_spec(folder / "redis", path))
            environment["AFFECT_REDIS_URL"] = f"unix://{path}"
        _report(f"Affect is starting and loading its models (logs: {folder / 'logs'}) …")
        supervisor = Supervisor(specs, folder / "logs", environment, _report)
        return supervisor.run(lambda: _is_ready(settings.address), lambda: _report(_announcement(settings)))


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED_SIGNALS)
    try:
        return supervise(RunSettings())
    except (StartupError, ValidationError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""A private Redis for tests: a real server on a unix socket."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from redis import ConnectionError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry


class RedisServer:
    """A redis-server that may be stopped, killed and started again over the same folder. A context manager."""

    def __init__(self, *options: str, url: str | None = None) -> None:
        """`url`: where else the options make it listen."""
        self.folder = Path(tempfile.mkdtemp(prefix="affect-redis-"))  # socket paths are short: hence no pytest folder
        socket = self.folder / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(self.folder), "--save", ""]
        self._command = [*command, *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = url or f"unix://{socket}"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        # Retried by the client until the server listens.
        retry = Retry(ConstantBackoff(0.02), 250)
        with Redis.from_url(self.url, retry=retry, retry_on_error=[ConnectionError]) as client:
            client.ping()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM: it writes what it has."""
        assert self._process
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)


@contextmanager
def redis_server(*options: str) -> Iterator[str]:
    """Runs redis-server while the context lasts; gives its URL."""
    with RedisServer(*options) as server:
        yield server.url

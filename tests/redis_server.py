"""A private Redis for tests: a real server on a unix socket."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import ConnectionError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry


@contextmanager
def redis_server(*options: str) -> Iterator[str]:
    """Runs redis-server while the context lasts; gives its URL. Socket paths are short: hence no pytest folder."""
    folder = Path(tempfile.mkdtemp(prefix="affect-redis-"))
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    url = f"unix://{socket}"
    try:
        # Retried by the client until the server listens.
        Redis.from_url(url, retry=Retry(ConstantBackoff(0.02), 250), retry_on_error=[ConnectionError]).ping()
        yield url
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)

"""The running service: `python -m app`, a Celery worker and Redis, each a process of its own, over a bundle without
models."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import httpx
import pytest
from redis import Redis

from app.client import Client, Job
from app.client.uploads import SubmitParams
from ml.registry import Bundle, ModelStore
from tests.redis_server import redis_server

ROOT = Path(__file__).parents[2]
WEBHOOK_SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
WORKER = ("workers",)


@dataclass(frozen=True)
class Service:
    """The running service as its users have it: `affect`, or what that is made of, `client`; the folder under which it
    keeps everything, and the settings of its processes."""

    affect: Client
    client: httpx.Client
    folder: Path
    environment: dict[str, str]

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.environment["AFFECT_REDIS_URL"])

    @property
    def stream_address(self) -> str:
        return str(self.client.base_url).replace("http", "ws") + "/v1/stream"

    def finished(self, path: Path, **asked: Unpack[SubmitParams]) -> Job:
        """The job of a file, once it has ended."""
        return self.affect.wait(self.affect.submit(path, **asked), timeout=60)

    def wait_until_ready(self, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail("the service is not ready")


@contextmanager
def process(*module: str, environment: dict[str, str]) -> Iterator[None]:
    running = subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=environment, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Service]:
    """The running service, ready, with the model store and all its data in `folder`, unless settings say otherwise."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with redis_server() as url, httpx.Client(base_url=address, timeout=70) as client, Client(address) as affect:
        environment = {
            **os.environ,
            "AFFECT_REDIS_URL": url,
            "AFFECT_DATA_DIR": str(folder),
            "AFFECT_MODEL_STORE": str(folder),
            "AFFECT_PORT": str(port),
            "AFFECT_EGRESS_ALLOW": "127.0.0.0/8",
            "AFFECT_WEBHOOK_SECRETS": f"local:{WEBHOOK_SECRET}",
            "AFFECT_WEBHOOK_PAUSES": "0.1,0.1,0.1",
            **settings,
        }
        with process("app", environment=environment), process(*WORKER, environment=environment):
            running = Service(affect, client, folder, environment)
            running.wait_until_ready()
            yield running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The running service over a bundle without models."""
    folder = tmp_path_factory.mktemp("affect")
    empty = Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
    ModelStore(folder).write_bundle(empty)
    with serving(folder) as running:
        yield running

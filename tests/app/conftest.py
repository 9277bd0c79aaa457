"""A gateway as its users meet it: real HTTP, a real Redis; in place of a worker, a test that claims jobs itself."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from redis import Redis

from app.main import create_app
from app.server import server_options
from app.settings import Settings
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from workers.protocol.blob_keys import result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import Failure
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.worker_registry import WorkerRegistry

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


class _Server(uvicorn.Server):
    """Uvicorn in a thread; `listening` is set when it accepts connections, or when it could not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Serves an app at a free port of loopback; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            create_app(settings), log_level="critical", timeout_graceful_shutdown=2, **server_options(settings)
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert server.listening.wait(10)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@dataclass(frozen=True)
class Gateway:
    client: httpx.Client
    settings: Settings
    job_store: JobStore
    blobs: BlobStore
    worker_registry: WorkerRegistry
    redis: RedisInspector

    def post(self, content: bytes = PNG, name: str = "a.png", **fields: Any) -> httpx.Response:
        return self.client.post("/v1/jobs", files={"file": (name, content)}, data=fields)

    def made(self, **fields: Any) -> str:
        """The id of a job that was accepted."""
        answer = self.post(**fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def stored(self) -> list[Path]:
        """Every file that jobs have left."""
        jobs = os.walk(self.settings.data_dir / "blobs" / "jobs")  # passes folders that are deleted now
        return [Path(folder, name) for folder, _, names in jobs for name in names]

    def succeed(self, result: bytes = b"{}") -> str:
        """Does the next job, as a worker would."""
        claim = self.job_store.claim()
        assert claim is not None
        self.blobs.put(result_key(claim.job_id, claim.token), result)
        self.job_store.finish(claim, "succeeded")
        return claim.job_id

    def fail(self, failure: Failure) -> str:
        claim = self.job_store.claim()
        assert claim is not None
        self.job_store.finish(claim, "failed", failure)
        return claim.job_id


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


OpenGateway = Callable[..., Gateway]


@pytest.fixture
def open_gateway(redis_url: str, tmp_path: Path) -> Iterator[OpenGateway]:
    """Opens gateways with settings of the test's choice, over one empty Redis and one empty folder."""
    redis = Redis.from_url(redis_url)
    redis.flushall()
    closing: list[Any] = []

    def opened(headers: dict[str, str] | None = None, **settings: Any) -> Gateway:
        chosen = Settings(**{"redis_url": redis_url, "data_dir": tmp_path, **settings})
        server = serving(chosen)
        url = server.__enter__()
        client = httpx.Client(base_url=url, headers=headers, timeout=20)
        closing.extend([client.close, lambda: server.__exit__(None, None, None)])
        return Gateway(
            client,
            chosen,
            JobStore(redis, chosen),
            BlobStore.from_settings(chosen),
            WorkerRegistry(redis),
            RedisInspector(redis),
        )

    yield opened
    for close in closing:
        close()
    redis.close()


@pytest.fixture
def gateway(open_gateway: OpenGateway) -> Gateway:
    return open_gateway()


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something that another thread does comes true in time."""
    until = time.monotonic() + seconds
    while not (done := holds()) and time.monotonic() < until:
        time.sleep(0.01)
    return done

"""The service as processes that a test may kill: gateways, workers and a Redis with its append-only file."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from redis import ConnectionError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ml.registry import Bundle, ModelStore
from tests.redis_inspector import RedisInspector
from tests.redis_server import RedisServer
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.broker import make_celery
from workers.protocol.records import FINAL_STATUSES, Heartbeat, JobRecord
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.maintenance import Maintenance
from workers.protocol.store.worker_registry import WorkerRegistry

ROOT = Path(__file__).parents[1]
BARE = Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
"""A bundle without models: the whole pipeline runs, and a worker is up soon."""


def until(holds: Callable[[], Any], seconds: float = 90.0, what: str = "it", every: float = 0.02) -> Any:
    """What `holds` gives once that is true; the test fails when it is not in time."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > end:
            pytest.fail(f"{what} has not come true in {seconds:g} s")
        time.sleep(every)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Process:
    """A running Python module and all its children; what it says goes to a file."""

    def __init__(self, module: Sequence[str], environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float = 60) -> int:
        """The exit status."""
        return self._process.wait(seconds)


@dataclass(frozen=True)
class Gateway:
    process: Process
    client: httpx.Client
    port: int

    def post_raw(self, path: Path, **fields: str) -> httpx.Response:
        with path.open("rb") as file:
            return self.client.post("/v1/jobs", files={"file": (path.name, file)}, data=fields)

    def post(self, path: Path, **fields: str) -> dict[str, Any]:
        """The job of a file that was accepted."""
        answer = self.post_raw(path, **fields)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())


class Cluster:
    """One service of as many processes as a test starts. A context manager: its end kills what still runs."""

    def __init__(self, folder: Path, redis: RedisServer, **settings: str) -> None:
        """`settings`: of all processes, without their prefix (`lease_seconds="2"`)."""
        self.folder, self.redis_server = folder, redis
        self.store = ModelStore(folder / "store")
        self.data = folder / "data"
        self._environment = {
            **os.environ,
            "AFFECT_REDIS_URL": redis.url,
            "AFFECT_DATA_DIR": str(self.data),
            "AFFECT_MODEL_STORE": str(self.store.root),
            **{f"AFFECT_{name.upper()}": value for name, value in settings.items()},
        }
        retry = Retry(ConstantBackoff(0.1), 300)  # a test that restarts Redis goes on when it is back
        self.redis = Redis.from_url(redis.url, retry=retry, retry_on_error=[ConnectionError])
        self.inspector = RedisInspector(self.redis)
        self.settings = SharedSettings(redis_url=redis.url, data_dir=self.data)
        self.job_store = JobStore(self.redis, self.settings)
        self.worker_registry = WorkerRegistry(self.redis)
        self._gateways: list[Gateway] = []
        self._workers: list[Process] = []
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for gateway in self._gateways:
            gateway.client.close()
        for process in self._processes:
            process.kill()
        self.redis.close()

    def run(self, *module: str, **settings: str) -> Process:
        environment = self._environment | {f"AFFECT_{name.upper()}": value for name, value in settings.items()}
        process = Process(module, environment, self.folder / "log")
        self._processes.append(process)
        return process

    def start_worker(self, module: str = "workers", **settings: str) -> Process:
        self._workers.append(self.run(module, "--loglevel", "info", **settings))
        return self._workers[-1]

    @property
    def live_workers(self) -> list[Process]:
        return [worker for worker in self._workers if worker.runs]

    def start_gateway(self, port: int | None = None, **settings: str) -> Gateway:
        port = port or free_port()
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70)
        gateway = Gateway(self.run("app", port=str(port), **settings), client, port)
        self._gateways.append(gateway)
        until(lambda: _answers(client), what="the gateway")
        return gateway

    def wait_for_workers(self, count: int = 1) -> list[Heartbeat]:
        return list(until(lambda: len(found := self.loaded()) >= count and found, what=f"{count} workers"))

    def loaded(self) -> list[Heartbeat]:
        """The worker processes that are ready; one that was killed stays in the worker registry for a while."""
        beats = [worker for worker in self.worker_registry.workers() if worker.loaded]
        return [beat for beat in beats if Path("/proc", beat.worker.rpartition(":")[2]).exists()]

    def sweep(self, blobs: BlobStore | None = None) -> None:
        """What the maintenance does with old orphans, of all there are."""
        blobs = blobs or BlobStore.from_settings(self.settings)
        Maintenance(self.job_store, blobs, make_celery(self.settings), self.settings).sweep(min_age_seconds=0.0)

    def traces(self, needles: Sequence[bytes]) -> list[str]:
        """Where the data directory, Redis or Redis's own file tell of any of these."""
        self.job_store.compact_append_only_file()
        until(lambda: not self.redis.info("persistence")["aof_rewrite_in_progress"], what="the rewrite of Redis's file")
        found = []
        for root in (self.data, self.redis_server.folder):
            for path in root.rglob("*"):
                content = b""
                with suppress(FileNotFoundError):  # gone meanwhile
                    content = path.read_bytes() if path.is_file() else b""
                found += [str(path) for needle in needles if needle in content or needle in os.fsencode(path)]
        for key in self.redis.scan_iter():
            content = key + (self.redis.dump(key) or b"")
            found += [repr(key) for needle in needles if needle in content]
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def record(self, job_id: str) -> JobRecord | None:
        return self.job_store.get(job_id)

    def ended(self, job_id: str, seconds: float = 120) -> JobRecord:
        """The record of a job once it is final."""

        def final() -> JobRecord | None:
            record = self.job_store.get(job_id)
            return record if record is not None and record.status in FINAL_STATUSES else None

        found = until(final, seconds, f"the end of {job_id}")
        assert isinstance(found, JobRecord)
        return found

    def final_states(self, job_id: str) -> list[str]:
        """Return every final state in the events of a job: one, if all is well."""
        return [status for status, *_ in self.inspector.events(job_id) if status in FINAL_STATUSES]


def check_once(cluster: Cluster, job_ids: Sequence[str]) -> Counter[str]:
    """Each job has exactly one final state, which is the one that its record has. How many ended how."""
    found: Counter[str] = Counter()
    for job_id in job_ids:
        record = cluster.record(job_id)
        assert record is not None, f"{job_id} is lost"
        assert cluster.final_states(job_id) == [record.status], job_id
        found[record.status] += 1
    return found


@contextmanager
def running(folder: Path, *redis_options: str, **settings: str) -> Iterator[Cluster]:
    """A Redis with its append-only file, and a store with the bare bundle; no gateway and no worker yet."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always", *redis_options) as redis:
        with Cluster(folder, redis, **settings) as cluster:
            cluster.store.write_bundle(BARE)
            yield cluster


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False

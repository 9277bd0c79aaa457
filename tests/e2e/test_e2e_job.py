"""From POST to result: `python -m app`, a Celery worker and Redis, each a process of its own, over a bundle without
models."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from ml.artifacts import Bundle, ModelStore
from ml.results import Result
from tests import media_files
from tests.redis_server import redis_server

ROOT = Path(__file__).parents[2]
WORKER = ["celery", "-A", "workers.main", "worker", "-B", "-c", "1", "--loglevel", "warning"]


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("affect")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[httpx.Client]:
    """The running service, ready."""
    empty = Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
    ModelStore(folder).write_bundle(empty)
    port = free_port()
    with redis_server() as url, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70) as client:
        environment = {
            **os.environ,
            "AFFECT_REDIS_URL": url,
            "AFFECT_DATA_DIR": str(folder),
            "AFFECT_MODEL_STORE": str(folder),
            "AFFECT_PORT": str(port),
        }
        with (
            process("app", environment=environment),
            process(*WORKER, "-s", str(folder / "beat"), environment=environment),
        ):
            wait_until_ready(client)
            yield client


def wait_until_ready(client: httpx.Client, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the service is not ready")


def finished(client: httpx.Client, path: Path) -> dict:
    """The job of a file, once it has ended."""
    with path.open("rb") as file:
        job = client.post("/v1/jobs", files={"file": file}).raise_for_status().json()
    until = time.monotonic() + 60
    while job["status"] in ("queued", "running") and time.monotonic() < until:
        job = client.get(job["links"]["self"], params={"wait": 30}).raise_for_status().json()
    return job


def test_a_video_becomes_a_timeline(service: httpx.Client, tmp_path: Path) -> None:
    job = finished(service, media_files.make_video(tmp_path / "talk.mp4", seconds=5.0))
    assert (job["status"], job["error"]) == ("succeeded", None)
    result = Result.model_validate_json(service.get(job["links"]["result"]).raise_for_status().content)
    assert result.media.sha256 == job["media"]["sha256"]
    assert (result.windows[0].start, result.windows[-1].end) == (0, pytest.approx(5.0, abs=0.1))


def test_a_damaged_video_fails_with_its_code_and_the_next_one_works(service: httpx.Client, tmp_path: Path) -> None:
    whole = media_files.make_video(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:600])
    job = finished(service, cut)
    assert (job["status"], job["error"]["code"]) == ("failed", "media_invalid")
    answer = service.get(job["links"]["result"])
    assert (answer.status_code, answer.json()["code"]) == (422, "media_invalid")
    assert finished(service, whole)["status"] == "succeeded"


def test_after_a_delete_nothing_is_left(service: httpx.Client, folder: Path, tmp_path: Path) -> None:
    job = finished(service, media_files.make_video(tmp_path / "gone.mp4", seconds=1.0))
    assert service.delete(job["links"]["self"]).status_code == 204
    assert service.get(job["links"]["self"]).status_code == 404
    assert [path for path in folder.rglob("*") if job["id"] in str(path)] == []

"""A real Celery worker in its own process, over a real Redis."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from ml.registry import Bundle, ModelStore
from ml.results import Result
from tests import media_files
from tests.loopback import Handler, loopback
from tests.redis_server import redis_server
from workers.protocol.blob_keys import media_key, request_key, result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import FINAL_STATUSES, JobRecord, JobRequest, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs
from workers.protocol.store.worker_registry import WorkerRegistry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[SharedSettings]:
    ModelStore(tmp_path).write_bundle(
        Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
    )
    tmp_path.chmod(0o755)
    with redis_server() as url:
        yield SharedSettings(redis_url=url, data_dir=tmp_path, lease_seconds=1.5)


class Running:
    """A job store, blobs, a worker_registry, and a worker process."""

    def __init__(self, settings: SharedSettings, *options: str) -> None:
        redis = Redis.from_url(settings.redis_url)
        self.settings = settings
        self.job_store, self.blobs, self.worker_registry = (
            JobStore(redis, settings),
            BlobStore.from_settings(settings),
            WorkerRegistry(redis),
        )
        environment = os.environ | {
            "AFFECT_REDIS_URL": settings.redis_url,
            "AFFECT_DATA_DIR": str(settings.data_dir),
            "AFFECT_MODEL_STORE": str(settings.data_dir),
            "AFFECT_LEASE_SECONDS": str(settings.lease_seconds),
            "AFFECT_EGRESS_ALLOW": "127.0.0.0/8",
        }
        command = [sys.executable, "-m", "workers", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)

    def post(self, media: bytes) -> str:
        """As a gateway that dies before it sends the message."""
        job_id = new_job_id()
        self.blobs.put(media_key(job_id), media)
        self.blobs.put(request_key(job_id), JobRequest().model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], "ann"))
        return job_id

    def post_link(self, url: str) -> str:
        """Likewise."""
        job_id = new_job_id()
        self.blobs.put(request_key(job_id), JobRequest(url=url).model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], "ann", queue="io"))
        return job_id

    def until(self, job_id: str, holds: Callable[[JobRecord], bool], seconds: float = 60) -> JobRecord:
        """The record once it is as it should be."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            record = self.job_store.get(job_id)
            if record is not None and holds(record):
                return record
            time.sleep(0.02)
        pytest.fail(f"the job stays {record}")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def worker(settings: SharedSettings) -> Iterator[Running]:
    running = Running(settings)
    yield running
    running.kill()


def check_privacy(data: Path, process: int) -> None:
    """Check that other users can read nothing of the service, and that the process dumps no memory."""
    written = [data, *data.glob("blobs/jobs/*/result-*.json"), *data.glob("scratch/**/*")]
    assert [path for path in written if path.stat().st_mode & 0o077] == [] and len(written) > 3
    limits = Path(f"/proc/{process}/limits").read_text()
    assert re.search(r"Max core file size +[01] +[01] ", limits)


def test_worker_survives_a_killed_child_and_requeues_at_shutdown(
    worker: Running, settings: SharedSettings, tmp_path: Path
) -> None:
    short = media_files.make_video(tmp_path / "short.mp4", seconds=1.0).read_bytes()
    long = media_files.make_audio(tmp_path / "long.flac", seconds=3000.0, rate=8000).read_bytes()

    job_id = worker.post(short)
    record = worker.until(job_id, lambda record: record.status in FINAL_STATUSES)
    assert (record.status, record.stage, record.attempts, record.failure) == ("succeeded", "write", 1, None)
    content = worker.blobs.get(result_key(job_id, record.token))
    assert content is not None and Result.model_validate_json(content).media.kind == "video"
    (beat,) = worker.worker_registry.workers()
    assert (beat.kinds, beat.bundle, beat.loaded, beat.models) == (("inference", "io"), "default", True, ())
    check_privacy(settings.data_dir, int(beat.worker.rpartition(":")[2]))

    job_id = worker.post(long)
    worker.until(job_id, lambda record: record.status == "running")
    os.kill(int(beat.worker.rpartition(":")[2]), signal.SIGKILL)
    record = worker.until(job_id, lambda record: record.attempts == 2 and record.status == "running")

    worker.process.terminate()
    assert worker.process.wait(20) == 0
    record = worker.until(job_id, lambda record: record.status == "queued", 1)
    assert record.attempts == 1
    assert [path.name for path in (settings.data_dir / "scratch").iterdir()] == ["lock"]
    assert [left.worker for left in worker.worker_registry.workers()] in (
        [],
        [beat.worker],
    )  # the killed one may yet lapse


def test_worker_io_only_loads_no_models_and_leaves_analyses_alone(settings: SharedSettings) -> None:
    def answer(handler: Handler) -> None:
        picture = b"\x89PNG\r\n\x1a\n" + bytes(1000)
        if handler.path == "/quick.png":
            return handler.reply(200, picture)
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(picture)
        handler.ended.wait(100)

    worker = Running(settings, "--kinds", "io")
    try:
        job_id = worker.post(b"media")
        until = time.monotonic() + 60
        while (
            not (beats := [beat for beat in worker.worker_registry.workers() if beat.loaded])
            and time.monotonic() < until
        ):
            time.sleep(0.05)
        assert [beat.kinds for beat in beats] == [("io",)]
        assert "torch" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
        with loopback(answer) as server:
            fetched = worker.post_link(server.url("/quick.png"))
            worker.until(fetched, lambda record: record.queue == "inference")
            slow = [worker.post_link(server.url("/slow.png")) for _ in range(3)]
            for each in slow:  # several at once
                worker.until(each, lambda record: record.progress > 0)
            worker.process.terminate()
            assert worker.process.wait(60) == 0
        assert worker.worker_registry.workers() == ()
        for each, queue in [(job_id, "inference"), *((each, "io") for each in slow)]:
            record = worker.until(each, lambda record: record.status == "queued", 1)
            assert (record.queue, record.attempts) == (queue, 0)
    finally:
        worker.kill()


def test_worker_unknown_kind_is_reported() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "workers", "--kinds", "oi"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1 and "'inference', 'io' or 'live'" in told.stderr


def test_worker_parent_does_not_import_the_models_libraries() -> None:
    names = ("torch", "mediapipe", "transformers", "faster_whisper", "cv2")
    code = f"import sys, workers.main; print([name for name in {names} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

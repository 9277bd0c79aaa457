"""A real Celery worker in its own process, over a real Redis."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.artifacts import Bundle, ModelStore
from ml.results import Result
from tests import media_files
from tests.redis_server import redis_server
from workers.wire.blobs import Blobs
from workers.wire.broker import make_celery, wake
from workers.wire.contract import FINAL, JobRecord, JobRequest, media_key, new_job_id, request_key, result_key
from workers.wire.ledger import Ledger
from workers.wire.settings import WireSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[WireSettings]:
    ModelStore(tmp_path).write_bundle(
        Bundle(name="default", face=None, audio=None, text=None, fusion=None, whisper=None)
    )
    with redis_server() as url:
        yield WireSettings(redis_url=url, data_dir=tmp_path, lease_seconds=2)


@pytest.fixture
def worker(settings: WireSettings) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "AFFECT_REDIS_URL": settings.redis_url,
        "AFFECT_DATA_DIR": str(settings.data_dir),
        "AFFECT_MODEL_STORE": str(settings.data_dir),
        "AFFECT_LEASE_SECONDS": "2",
    }
    schedule = str(settings.data_dir / "beat")
    command = [sys.executable, "-m", "celery", "-A", "workers.main", "worker", "-B", "-s", schedule, "-c", "1"]
    process = subprocess.Popen([*command, "--loglevel", "warning"], cwd=ROOT, env=environment, start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for_end(ledger: Ledger, job_id: str, seconds: float) -> JobRecord:
    """The record once it is final."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        record = ledger.get(job_id)
        if record is not None and record.status in FINAL:
            return record
        time.sleep(0.05)
    pytest.fail("the job did not end")


def test_a_job_posted_before_the_worker_starts_is_finished_by_it(
    settings: WireSettings, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    ledger, blobs = Ledger(Redis.from_url(settings.redis_url), settings), Blobs.of(settings)
    job_id = new_job_id()
    blobs.put(media_key(job_id), media_files.make_video(tmp_path / "a.mp4", seconds=2.0).read_bytes())
    blobs.put(request_key(job_id), JobRequest().model_dump_json().encode())
    ledger.create(job_id, "ann")
    wake(make_celery(settings))
    record = wait_for_end(ledger, job_id, 60)
    assert (record.status, record.attempts, record.failure) == ("succeeded", 1, None)
    content = blobs.get(result_key(job_id))
    assert content is not None and Result.model_validate_json(content).media.kind == "video"

"""Maintenance over a real Redis and a real folder; Celery's messages are counted where it puts them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.results import Options
from tests.redis_server import redis_server
from workers.protocol.blob_keys import job_prefix, media_key, request_key, result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.broker import make_celery, pending_wake_ups
from workers.protocol.records import WORKER_KINDS, JobRequest
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs
from workers.protocol.store.maintenance import Maintenance


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Service:
    def __init__(self, url: str, folder: Path, **settings: float) -> None:
        self.redis = Redis.from_url(url)
        self.redis.flushall()
        chosen = SharedSettings(redis_url=url, data_dir=folder, **settings)
        self.job_store = JobStore(self.redis, chosen)
        self.blobs = BlobStore.from_settings(chosen)
        self.celery = make_celery(chosen)
        self.maintenance = Maintenance(self.job_store, self.blobs, self.celery, chosen)

    def post(self, job_id: str) -> None:
        self.blobs.put(media_key(job_id), b"media")
        self.blobs.put(request_key(job_id), b"{}")
        self.job_store.create(NewJobs([job_id], "ann"))


def age(folder: Path, seconds: float) -> None:
    """Makes everything under a folder older."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (time.time() - seconds,) * 2)


def test_run_once_job_without_wake_up_gets_exactly_one(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path, lease_seconds=1e-6)
    for number in range(3):
        service.post(f"job_{number}")
    for _ in range(3):
        service.maintenance.run_once()
        assert pending_wake_ups(service.celery, "inference") == 3


def test_run_once_sends_wake_ups_to_the_right_queue(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path, lease_seconds=1e-6)
    service.post("job_file")
    service.job_store.create(NewJobs(["job_link", "job_other"], "ann", queue="io"))
    service.maintenance.run_once()
    assert [pending_wake_ups(service.celery, kind) for kind in WORKER_KINDS] == [1, 2, 0]


def test_run_once_requeues_and_wakes_job_of_a_dead_worker(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path, lease_seconds=1e-6)
    service.post("job_a")
    assert service.job_store.claim()
    service.maintenance.run_once()
    record = service.job_store.get("job_a")
    assert record is not None and record.status == "queued" and pending_wake_ups(service.celery, "inference") == 1


def test_run_once_deletes_media_of_job_that_ran_out_of_attempts(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path, lease_seconds=1e-6, max_attempts=1)
    service.post("job_a")
    assert service.job_store.claim()
    service.maintenance.run_once()
    assert not service.blobs.exists(media_key("job_a")) and service.blobs.exists(request_key("job_a"))


def test_run_once_deletes_expired_job_with_blobs(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path, lease_seconds=60, result_ttl=1e-6)
    service.post("job_a")
    claim = service.job_store.claim()
    assert claim is not None
    service.blobs.put(result_key("job_a", claim.token), b"{}")
    service.job_store.finish(claim, "succeeded")
    service.maintenance.run_once()
    assert service.job_store.owner_of_expired("job_a") == "ann" and not service.blobs.exists(job_prefix("job_a"))


def test_sweep_deletes_only_old_blobs_without_a_job(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path)
    service.post("job_kept")
    service.job_store.renew_upload("job_arriving")
    for job_id in ("job_arriving", "job_killed"):
        service.blobs.put(f"{media_key(job_id)}.part", b"me")
    (tmp_path / "blobs" / "jobs" / "job_empty").mkdir()
    age(tmp_path / "blobs", 7200)
    service.blobs.put(f"{media_key('job_young')}.part", b"me")
    service.maintenance.sweep()
    left = {path.name for path in (tmp_path / "blobs" / "jobs").iterdir()}
    assert left == {"job_kept", "job_arriving", "job_young"}


def test_sweep_deletes_media_of_ended_job(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path)
    for name in ("spent", "kept", "queued"):
        service.post(f"job_{name}")
        request = JobRequest(options=Options(keep_media=name == "kept"))
        service.blobs.put(request_key(f"job_{name}"), request.model_dump_json().encode())
    for _ in range(2):
        claim = service.job_store.claim()
        assert claim is not None
        service.job_store.finish(claim, "succeeded")
    service.maintenance.sweep(min_age_seconds=3600)
    assert service.blobs.exists(media_key("job_spent"))
    age(tmp_path / "blobs", 7200)
    service.maintenance.sweep(min_age_seconds=3600)
    left = [name for name in ("spent", "kept", "queued") if service.blobs.exists(media_key(f"job_{name}"))]
    assert left == ["kept", "queued"]


def test_sweep_without_blobs_does_nothing(url: str, tmp_path: Path) -> None:
    Service(url, tmp_path).maintenance.sweep()


def test_run_once_of_several_only_one_does_the_work(url: str, tmp_path: Path) -> None:
    service = Service(url, tmp_path)
    service.maintenance.run_once()
    service.post("job_a")
    service.maintenance.run_once()
    assert pending_wake_ups(service.celery, "inference") == 0


def test_run_once_without_redis_does_not_raise(tmp_path: Path) -> None:
    settings = SharedSettings(redis_url="unix:///nowhere/redis.sock", data_dir=tmp_path)
    job_store = JobStore(Redis.from_url(settings.redis_url, retry=None), settings)
    Maintenance(job_store, BlobStore.from_settings(settings), make_celery(settings), settings).run_once()


def test_run_once_unknown_layout_is_reported_and_left_alone(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(url, tmp_path)
    service.redis.set("affect:layout", b"3")
    service.post("job_a")
    service.maintenance.run_once()
    assert "layout 3" in caplog.text and pending_wake_ups(service.celery, "inference") == 0

"""Redis and blobs as an earlier version left them: its jobs go on, and its results stay."""

from pathlib import Path

import pytest
from redis import Redis

from workers.protocol.blob_keys import media_key, request_key, result_key
from workers.protocol.blobs.blobs import BlobStore
from workers.protocol.broker import make_celery
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import KEY_LAYOUT, JobStore
from workers.protocol.store.maintenance import Maintenance
from workers.protocol.store.migration import take_over


class Earlier:
    """What the version of before there were queues by kind writes."""

    def __init__(self, redis: Redis, blobs: BlobStore) -> None:
        self._redis, self._blobs, self._count = redis, blobs, 0

    def post(self, job_id: str, owner: str, status: str = "queued", **fields: str) -> None:
        self._count += 1
        record = {"owner": owner, "number": self._count, "status": status, "progress": "0", "attempts": "0"}
        record |= {"token": "0", "tags": "", "created_at": "1764000000.5", **fields}
        self._redis.hset(f"affect:job:{job_id}", mapping=record)
        self._redis.zadd(f"affect:jobs:{owner}", {job_id: self._count})
        self._redis.xadd(f"affect:events:{job_id}", {"status": status, "stage": "", "progress": "0"})
        self._redis.set(f"affect:seq:{owner}", self._count)
        self._blobs.put(request_key(job_id), b"{}")
        if status == "queued":
            self._redis.zadd(f"affect:waiting:{owner}", {job_id: self._count})
            if self._redis.lpos("affect:ring", owner) is None:
                self._redis.rpush("affect:ring", owner)
        if status in ("queued", "running"):
            self._blobs.put(f"jobs/{job_id}/media", job_id.encode())

    def run(self, job_id: str, owner: str) -> None:
        """Whose worker is gone: the lease has lapsed."""
        self.post(job_id, owner, "running", token="1", attempts="1", started_at="1764000001")
        self._redis.zadd("affect:leases", {job_id: 1764000016})

    def succeed(self, job_id: str, owner: str) -> None:
        self.post(job_id, owner, "succeeded", token="1", attempts="1", finished_at="1764000009", failure="")
        self._redis.zadd("affect:expiry", {job_id: 9e9})
        self._blobs.put(result_key(job_id, 1), b"result")


@pytest.fixture
def settings(tmp_path: Path) -> SharedSettings:
    return SharedSettings(data_dir=tmp_path)


@pytest.fixture
def blobs(settings: SharedSettings) -> BlobStore:
    return BlobStore.from_settings(settings)


@pytest.fixture
def job_store(redis: Redis, settings: SharedSettings, blobs: BlobStore) -> JobStore:
    earlier = Earlier(redis, blobs)
    earlier.succeed("job_done", "ann")
    earlier.run("job_running", "ann")
    for job_id, owner in (("job_1", "ann"), ("job_2", "ann"), ("job_3", "bob")):
        earlier.post(job_id, owner)
    return JobStore(redis, settings)


def test_jobs_of_an_earlier_version_go_on(
    redis: Redis, job_store: JobStore, blobs: BlobStore, settings: SharedSettings, url: str
) -> None:
    maintenance = Maintenance(job_store, blobs, make_celery(settings.model_copy(update={"redis_url": url})), settings)
    maintenance.run_once()
    done = job_store.get("job_done")
    assert done is not None and (done.status, blobs.get(result_key(done.id, done.token))) == ("succeeded", b"result")
    assert [record.id for record in job_store.page("ann").records] == ["job_2", "job_1", "job_running", "job_done"]
    claims = list(filter(None, [job_store.claim() for _ in range(5)]))
    attempts = {claim.job_id: claim.attempt for claim in claims}
    assert [job_id for job_id in attempts if job_id != "job_3"] == ["job_running", "job_1", "job_2"]  # ann's, in turn
    assert attempts == {"job_running": 2, "job_1": 1, "job_2": 1, "job_3": 1}
    for claim in claims:
        assert blobs.get(media_key(claim.job_id)) == claim.job_id.encode()
        job_store.finish(claim, "succeeded")
    assert not redis.exists("affect:ring", "affect:waiting:ann", "affect:waiting:bob")


def test_what_an_earlier_version_writes_meanwhile_is_taken_over_too(
    redis: Redis, job_store: JobStore, blobs: BlobStore
) -> None:
    take_over(job_store, blobs)
    Earlier(redis, blobs).post("job_late", "eve")
    assert not job_store.is_settled()
    take_over(job_store, blobs)
    assert job_store.is_settled() and job_store.get("job_late").position == 2  # type: ignore[union-attr]


def test_a_move_that_was_interrupted_is_finished(redis: Redis, job_store: JobStore, blobs: BlobStore) -> None:
    blobs.move("jobs/job_1/media", "jobs/job_1/media-before")
    take_over(job_store, blobs)
    take_over(job_store, blobs)
    assert blobs.get(media_key("job_1")) == b"job_1"
    job_store.delete("job_1")
    assert redis.get("affect:layout") == KEY_LAYOUT


def test_in_an_empty_redis_there_is_nothing_to_do(redis: Redis, settings: SharedSettings, blobs: BlobStore) -> None:
    job_store = JobStore(redis, settings)
    take_over(job_store, blobs)
    assert job_store.is_settled() and redis.keys("*") == [b"affect:layout"]

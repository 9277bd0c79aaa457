"""Jobs through the real job store and blobs; the analysis is the real pipeline over a bundle without models."""

import errno
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.errors import MediaInvalid
from ml.inference.api import MediaAnalyzer
from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.runtime.progress import ProgressListener
from ml.registry import Bundle, ModelStore
from ml.results import Notice, Options, Result
from tests import media_files
from tests.documents import RESULT
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from tests.workers.scripted_analyzer import ScriptedAnalyzer
from workers.jobs.analysis import AnalysisRunner
from workers.jobs.runner import RunnerConfig
from workers.protocol.blob_keys import job_prefix, media_key, request_key, result_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import storage_unavailable
from workers.protocol.records import JobRequest, ReanalysisSource, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Service:
    """A job store, blobs, and a runner over an analyzer."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = SharedSettings(data_dir=folder, lease_seconds=0.3)
        self.redis = Redis.from_url(url)
        self.job_store = JobStore(self.redis, self.settings)
        self.blobs = BlobStore.from_settings(self.settings)

    def post(self, media: bytes, request: JobRequest | None = None, *, small: bool = False, owner: str = "ann") -> str:
        job_id = new_job_id()
        self.blobs.put(media_key(job_id), media)
        self.blobs.put(request_key(job_id), (request or JobRequest()).model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], owner, small=[small]))
        return job_id

    def work(self, analyzer: MediaAnalyzer, config: RunnerConfig | None = None) -> str | None:
        return AnalysisRunner(
            self.job_store, self.blobs, analyzer, config or RunnerConfig(lease_seconds=0.3)
        ).run_next()

    def delete(self, job_id: str) -> None:
        """As the gateway does."""
        self.job_store.delete(job_id)
        self.blobs.delete(job_prefix(job_id))


@pytest.fixture
def service(url: str, tmp_path: Path) -> Service:
    Redis.from_url(url).flushall()
    return Service(url, tmp_path)


class Scripted(ScriptedAnalyzer):
    """An analyzer that does what a test says with the progress listener of a job."""

    def __init__(self, act: Callable[[ProgressListener], Result]) -> None:
        def act_on_media(media: bytes, listener: ProgressListener) -> Result:
            assert media == b"media"
            return act(listener)

        super().__init__(act_on_media)


def test_runner_completed_job_has_a_result_and_no_media(service: Service, tmp_path: Path) -> None:
    ModelStore(tmp_path).write_bundle(Bundle(name="bare", face=None, audio=None, text=None, fusion=None, whisper=None))
    path = media_files.make_video(tmp_path / "a.mp4", seconds=3.0)
    job_id = service.post(path.read_bytes(), JobRequest(options=Options(hop_seconds=1, window_seconds=1)))
    assert service.work(Analyzer.load(tmp_path, "bare", device="cpu")) == job_id
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.stage, record.progress) == ("succeeded", "write", 1)
    content = service.blobs.get(result_key(job_id, 1))
    assert content is not None
    assert [window.start for window in Result.model_validate_json(content).windows] == [0, 1, 2]
    assert not service.blobs.exists(media_key(job_id))


def test_runner_large_result_is_written_without_a_copy_as_text(service: Service) -> None:
    """One sign would make each letter of such a text take four bytes."""
    result = RESULT.model_copy(update={"warnings": (Notice(code="a" * 2**23, message="😀"),)})
    job_id = service.post(b"media")
    tracemalloc.start()
    service.work(Scripted(lambda _: result))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert service.blobs.get(result_key(job_id, 1)) == result.model_dump_json().encode()
    assert peak < 2 * 2**23


def test_runner_error_with_a_code_keeps_it(service: Service) -> None:
    def act(_: ProgressListener) -> Result:
        raise MediaInvalid("Nothing could be decoded.", stage="decode")

    job_id = service.post(b"media")
    service.work(Scripted(act))
    record = service.job_store.get(job_id)
    assert record is not None and record.status == "failed" and record.failure is not None
    assert (record.failure.code, record.failure.stage) == ("media_invalid", "decode")
    assert not service.blobs.exists(media_key(job_id))


@pytest.mark.parametrize("key", [media_key, request_key])
def test_runner_media_or_request_lost_fails_the_job(service: Service, key: Callable[[str], str]) -> None:
    job_id = service.post(b"media")
    service.blobs.delete(key(job_id))
    service.work(Scripted(lambda _: pytest.fail("there is nothing to read")))
    record = service.job_store.get(job_id)
    assert record is not None and record.status == "failed" and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.failure.retryable) == ("fetch_failed", "fetch", True)
    assert "post" in record.failure.message and record.attempts == 1


def test_runner_deleted_source_job_fails_the_job(service: Service) -> None:
    kept = service.post(b"media", JobRequest(options=Options(keep_media=True)))
    service.work(Scripted(lambda _: RESULT))
    again = service.post(b"", JobRequest(source=ReanalysisSource(job_id=kept, fetch_token=0, token=1)))
    service.delete(kept)
    service.work(Scripted(lambda _: pytest.fail("there is nothing to read")))
    record = service.job_store.get(again)
    assert record is not None and record.status == "failed" and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.failure.retryable) == ("job_expired", "fetch", False)


def test_runner_unexpected_error_is_not_shown(service: Service) -> None:
    def act(observer: ProgressListener) -> Result:
        observer.stage("audio")
        raise RuntimeError("/secret/path")

    job_id = service.post(b"media")
    service.work(Scripted(act))
    record = service.job_store.get(job_id)
    assert record is not None and record.failure is not None
    assert record.failure.code == "internal_error" and "secret" not in record.failure.message
    assert record.failure.stage == "audio"


def test_runner_cancelled_job_stops_within_a_lease(service: Service) -> None:
    job_id = service.post(b"media")

    def act(observer: ProgressListener) -> Result:
        service.job_store.cancel(job_id)
        while True:
            observer.check()

    service.work(Scripted(act))
    record = service.job_store.get(job_id)
    assert record is not None and record.status == "cancelled"


def test_runner_deleted_job_stops_and_leaves_nothing(service: Service) -> None:
    job_id = service.post(b"media")

    def act(observer: ProgressListener) -> Result:
        service.delete(job_id)
        while True:
            observer.check()

    service.work(Scripted(act))
    assert service.job_store.get(job_id) is None and not service.blobs.exists(job_prefix(job_id))


def test_runner_result_written_after_a_delete_is_deleted(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is past its last look when the delete comes."""
    job_id = service.post(b"media")
    put = service.blobs.put

    def put_late(key: str, content: bytes) -> None:
        service.delete(job_id)
        put(key, content)

    monkeypatch.setattr(service.blobs, "put", put_late)
    service.work(Scripted(lambda _: RESULT))
    assert not service.blobs.exists(job_prefix(job_id))


def test_runner_job_deleted_while_its_result_is_written_is_no_error(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its folder goes from under the file."""
    job_id = service.post(b"media")

    def put(key: str, content: bytes) -> None:
        with service.blobs.open_writer(key) as file:
            file.write(content)
            file.flush()
            service.delete(job_id)

    monkeypatch.setattr(service.blobs, "put", put)
    service.work(Scripted(lambda _: RESULT))
    assert not service.blobs.exists(job_prefix(job_id)) and "internal error" not in caplog.text


def test_runner_late_worker_keeps_the_result_of_the_newer_claim(service: Service) -> None:
    job_id = service.post(b"media", JobRequest(options=Options(keep_media=True)))
    late = RunnerConfig(lease_seconds=60)

    def act(_: ProgressListener) -> Result:
        lapse(service, job_id)
        service.work(Scripted(lambda _: RESULT))
        return RESULT

    service.work(Scripted(act), late)
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.token) == ("succeeded", 2)
    assert service.blobs.exists(result_key(job_id, 2)) and not service.blobs.exists(result_key(job_id, 1))
    assert service.blobs.exists(media_key(job_id))


def lapse(service: Service, job_id: str) -> None:
    """End the lease of a running job, as time would."""
    RedisInspector(service.redis).expire_leases(job_id)
    assert service.job_store.reap_expired_leases() == {job_id: "queued"}


def test_runner_shutdown_requeues_the_job(service: Service) -> None:
    job_id = service.post(b"media")
    config = RunnerConfig(lease_seconds=0.3)

    def act(observer: ProgressListener) -> Result:
        assert isinstance(config.stopping, threading.Event)
        config.stopping.set()
        observer.check()
        pytest.fail("the work went on")

    assert service.work(Scripted(act), config) == job_id
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.attempts) == ("queued", 0)
    assert service.blobs.exists(media_key(job_id))
    assert service.work(Scripted(act), config) is None  # it takes no new work either


def test_runner_time_limit_fails_the_job_with_its_stage(service: Service) -> None:
    def act(observer: ProgressListener) -> Result:
        observer.stage("faces")
        while True:
            observer.check()

    job_id = service.post(b"media")
    service.work(Scripted(act), RunnerConfig(attempt_seconds=0.01))
    record = service.job_store.get(job_id)
    assert record is not None and record.failure is not None
    assert (record.failure.code, record.failure.stage, record.failure.retryable) == (
        "processing_timeout",
        "faces",
        True,
    )


def test_runner_empty_queue_returns_none(service: Service) -> None:
    assert service.work(Scripted(lambda _: pytest.fail("nothing waits"))) is None


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def without_room(_: ProgressListener) -> Result:
    raise NO_ROOM


def test_runner_full_disk_requeues_the_job_and_starts_none(service: Service) -> None:
    """The disk fills up while it works: nobody's attempt is used up."""
    job_id = service.post(b"media")
    room = [True, False]
    config = RunnerConfig(lease_seconds=0.3, has_room=lambda: room[0], storage_backoff_seconds=0)

    def act(_: ProgressListener) -> Result:
        room.pop(0)
        raise NO_ROOM

    assert service.work(Scripted(act), config) == job_id
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.attempts) == ("queued", 0)
    assert service.work(Scripted(act), config) is None
    room[0] = True
    assert service.work(Scripted(lambda _: RESULT), config) == job_id
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.attempts) == ("succeeded", 1)


def test_runner_job_that_fills_the_disk_fails_after_three_attempts(service: Service) -> None:
    job_id = service.post(b"media")
    config = RunnerConfig(lease_seconds=0.3, storage_backoff_seconds=0)
    for attempt in (1, 2, 3):
        assert service.work(Scripted(without_room), config) == job_id
        record = service.job_store.get(job_id)
        assert record is not None and record.attempts == attempt
    assert record.status == "failed" and record.failure is not None
    assert (record.failure.code, record.failure.retryable) == ("storage_full", True)
    assert not service.blobs.exists(media_key(job_id))


def test_runner_storage_failure_uses_up_no_attempt(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = service.post(b"media")
    config = RunnerConfig(lease_seconds=0.3, storage_backoff_seconds=0)

    def fails(*_: object) -> None:
        raise storage_unavailable()

    with monkeypatch.context() as broken:
        broken.setattr(service.blobs, "put", fails)
        for _ in range(5):
            assert service.work(Scripted(lambda _: RESULT), config) == job_id
    record = service.job_store.get(job_id)
    assert record is not None and (record.status, record.attempts) == ("queued", 0)
    service.work(Scripted(lambda _: RESULT), config)
    record = service.job_store.get(job_id)
    assert record is not None and record.status == "succeeded"


def test_runner_backoff_ends_at_shutdown(service: Service) -> None:
    service.post(b"media")
    stopping = threading.Event()

    def act(_: ProgressListener) -> Result:
        stopping.set()
        raise NO_ROOM

    service.work(Scripted(act), RunnerConfig(stopping=stopping, storage_backoff_seconds=1000))


class Concurrent(ScriptedAnalyzer):
    """An analyzer of small jobs that wait for each other, so that all of them run at once."""

    def __init__(self, count: int, act: Callable[[bytes, ProgressListener], Result]) -> None:
        met = threading.Barrier(count, timeout=30)

        def act_together(media: bytes, listener: ProgressListener) -> Result:
            met.wait()
            return act(media, listener)

        super().__init__(act_together)


def test_runner_small_jobs_run_concurrently_and_fail_separately(service: Service) -> None:
    def act(media: bytes, _: ProgressListener) -> Result:
        if media == b"bad":
            raise MediaInvalid("Nothing could be decoded.", stage="decode")
        return RESULT

    jobs = [service.post(media, small=True) for media in (b"one", b"bad", b"two")]
    service.work(Concurrent(3, act), RunnerConfig(lease_seconds=0.3, max_concurrent=4))
    records = [service.job_store.get(job_id) for job_id in jobs]
    assert [record and record.status for record in records] == ["succeeded", "failed", "succeeded"]
    assert service.job_store.claim() is None


def test_runner_small_job_starts_as_soon_as_another_ends(service: Service) -> None:
    """The first is under way until all others have ended, though no more than two are at once."""
    jobs = [service.post(str(number).encode(), small=True) for number in range(4)]
    ended = threading.Semaphore(0)

    def act(media: bytes, _: ProgressListener) -> Result:
        if media == b"0":
            assert all(ended.acquire(timeout=30) for _ in jobs[1:])
        else:
            ended.release()
        return RESULT

    service.work(ScriptedAnalyzer(act), RunnerConfig(lease_seconds=0.3, max_concurrent=2))
    records = [service.job_store.get(job_id) for job_id in jobs]
    assert [record and record.status for record in records] == ["succeeded"] * 4


def test_runner_small_jobs_do_not_overtake_a_long_one(service: Service) -> None:
    small = [service.post(str(number).encode(), small=True) for number in range(2)]
    long = service.post(b"long")
    service.work(Concurrent(2, lambda *_: RESULT), RunnerConfig(lease_seconds=0.3, max_concurrent=2))
    last = service.post(b"last", small=True)
    records = [service.job_store.get(job_id) for job_id in (*small, long, last)]
    assert [record and record.status for record in records] == ["succeeded", "succeeded", "queued", "queued"]
    assert service.work(Concurrent(1, lambda *_: RESULT), RunnerConfig(lease_seconds=0.3, max_concurrent=2)) == long


def test_runner_small_jobs_are_cancelled_and_deleted_separately(service: Service) -> None:
    jobs = [service.post(str(number).encode(), small=True) for number in range(3)]

    def act(media: bytes, observer: ProgressListener) -> Result:
        if media == b"0":
            service.job_store.cancel(jobs[0])
        elif media == b"1":
            service.delete(jobs[1])
        else:
            return RESULT
        while True:
            observer.check()

    service.work(Concurrent(3, act), RunnerConfig(lease_seconds=0.3, max_concurrent=3))
    records = [service.job_store.get(job_id) for job_id in jobs]
    assert [record and record.status for record in records] == ["cancelled", None, "succeeded"]
    assert not service.blobs.exists(job_prefix(jobs[1]))


def test_runner_shutdown_requeues_every_small_job(service: Service) -> None:
    jobs = [service.post(b"media", small=True) for _ in range(3)]
    stopping = threading.Event()

    def act(_: bytes, observer: ProgressListener) -> Result:
        stopping.set()
        while True:
            observer.check()

    service.work(Concurrent(3, act), RunnerConfig(lease_seconds=0.3, stopping=stopping, max_concurrent=3))
    records = [service.job_store.get(job_id) for job_id in jobs]
    assert [record and (record.status, record.attempts) for record in records] == [("queued", 0)] * 3


def test_runner_small_job_of_another_does_not_wait_for_a_long_one(service: Service) -> None:
    """A long job runs until the picture, which was posted after it began, has ended."""
    pictures: list[str] = []

    def act(media: bytes, _: ProgressListener) -> Result:
        if media == b"long":
            pictures.append(service.post(b"picture", small=True, owner="bob"))
            deadline = time.monotonic() + 20
            while (record := service.job_store.get(pictures[0])) is None or record.status != "succeeded":
                assert time.monotonic() < deadline, "the picture waits"
                time.sleep(0.05)
        return RESULT

    long = [service.post(b"long"), service.post(b"other long")]
    assert service.work(ScriptedAnalyzer(act)) == long[0]
    records = [service.job_store.get(job_id) for job_id in (*long, *pictures)]
    assert [record and record.status for record in records] == ["succeeded", "queued", "succeeded"]

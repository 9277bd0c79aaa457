"""Jobs through the real ledger and blobs; the analysis is the real pipeline over a bundle without models."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from ml.artifacts import Bundle, ModelStore
from ml.errors import MediaInvalid
from ml.inference.observer import Observer
from ml.inference.pipeline import Analyser
from ml.results import Options, Result
from tests import media_files
from tests.redis_server import redis_server
from workers.engine import Analysing, Engine
from workers.wire.blobs import Blobs
from workers.wire.contract import JobRequest, media_key, new_job_id, request_key, result_key
from workers.wire.ledger import Ledger
from workers.wire.settings import WireSettings


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Service:
    """A ledger, blobs, and an engine over an analyser."""

    def __init__(self, url: str, folder: Path) -> None:
        self.settings = WireSettings(data_dir=folder, lease_seconds=0.3)
        self.ledger = Ledger(Redis.from_url(url), self.settings)
        self.blobs = Blobs.of(self.settings)

    def post(self, media: bytes, request: JobRequest | None = None) -> str:
        job_id = new_job_id()
        self.blobs.put(media_key(job_id), media)
        self.blobs.put(request_key(job_id), (request or JobRequest()).model_dump_json().encode())
        self.ledger.create(job_id, "ann")
        return job_id

    def work(self, analyser: Analysing) -> str | None:
        return Engine(self.ledger, self.blobs, analyser, self.settings).work()


@pytest.fixture
def service(url: str, tmp_path: Path) -> Service:
    Redis.from_url(url).flushall()
    return Service(url, tmp_path)


class Scripted:
    """An analyser that does what a test says."""

    def __init__(self, act: Callable[[Observer], Result]) -> None:
        self._act = act

    def analyse(
        self,
        path: Path,
        options: Options | None = None,
        *,
        transcript: str | None = None,
        observer: Observer | None = None,
        scratch: Path | None = None,
    ) -> Result:
        assert observer is not None and path.read_bytes() == b"media"
        return self._act(observer)


def test_a_job_ends_with_its_result_and_without_its_media(service: Service, tmp_path: Path) -> None:
    ModelStore(tmp_path).write_bundle(Bundle(name="bare", face=None, audio=None, text=None, fusion=None, whisper=None))
    path = media_files.make_video(tmp_path / "a.mp4", seconds=3.0)
    job_id = service.post(path.read_bytes(), JobRequest(options=Options(hop_seconds=1, window_seconds=1)))
    assert service.work(Analyser.load(tmp_path, "bare", device="cpu")) == job_id
    record = service.ledger.get(job_id)
    assert record is not None and (record.status, record.progress, record.failure) == ("succeeded", 1, None)
    content = service.blobs.get(result_key(job_id))
    assert content is not None
    assert [window.start for window in Result.model_validate_json(content).windows] == [0, 1, 2]
    assert not service.blobs.exists(media_key(job_id))


def test_an_error_with_a_code_keeps_it(service: Service) -> None:
    def act(_: Observer) -> Result:
        raise MediaInvalid("Nothing could be decoded.", stage="decode")

    job_id = service.post(b"media")
    service.work(Scripted(act))
    record = service.ledger.get(job_id)
    assert record is not None and record.status == "failed" and record.failure is not None
    assert (record.failure.code, record.failure.stage) == ("media_invalid", "decode")
    assert not service.blobs.exists(media_key(job_id))


def test_an_unknown_error_shows_nothing_of_itself(service: Service) -> None:
    def act(_: Observer) -> Result:
        raise RuntimeError("/secret/path")

    job_id = service.post(b"media")
    service.work(Scripted(act))
    record = service.ledger.get(job_id)
    assert record is not None and record.failure is not None
    assert record.failure.code == "internal_error" and "secret" not in record.failure.message


def test_a_cancelled_job_stops_within_a_lease(service: Service) -> None:
    job_id = service.post(b"media")

    def act(observer: Observer) -> Result:
        service.ledger.cancel(job_id)
        while True:
            observer.check()

    service.work(Scripted(act))
    record = service.ledger.get(job_id)
    assert record is not None and record.status == "cancelled"


def test_a_deleted_job_leaves_no_result(service: Service) -> None:
    job_id = service.post(b"media")

    def act(observer: Observer) -> Result:
        service.ledger.delete(job_id)
        service.blobs.delete(f"jobs/{job_id}")
        while True:
            observer.check()

    service.work(Scripted(act))
    assert service.ledger.get(job_id) is None and not service.blobs.exists(f"jobs/{job_id}")


def test_no_job_no_work(service: Service) -> None:
    assert service.work(Scripted(lambda _: pytest.fail("nothing waits"))) is None

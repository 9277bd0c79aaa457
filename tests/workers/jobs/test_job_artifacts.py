"""The files of a result through the real job store and blobs, made by the real pipeline and artifact builder."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ml.errors import MediaInvalid, ProcessingTimeout
from ml.inference.pipeline.analyzer import Analyzer
from ml.media import MediaLimits
from ml.rendering.builder import INDEX, ArtifactBuilder
from ml.results import Options, Result
from tests.face_files import make_scenes, portrait
from tests.redis_server import redis_server
from tests.speech_files import melody
from workers.jobs.analysis import AnalysisRunner
from workers.jobs.artifacts import BuilderFactory, store_artifacts
from workers.jobs.runner import RunnerConfig
from workers.protocol.blob_keys import (
    artifact_key,
    artifacts_prefix,
    job_prefix,
    media_key,
    request_key,
    result_key,
    summary_key,
)
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import storage_unavailable
from workers.protocol.records import Claim, JobRequest, JobSummary, new_job_id
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import JobStore, NewJobs

ALL = Options(annotate=True, thumbnails=True, heatmaps=True)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return make_scenes(path, [(portrait(), 1.0)], melody(1.0)).read_bytes()


class Service:
    """A job store and blobs, and a runner that makes artifacts."""

    def __init__(self, url: str, folder: Path, analyzer: Analyzer) -> None:
        settings = SharedSettings(data_dir=folder, lease_seconds=0.3)
        self.job_store, self.blobs = JobStore(Redis.from_url(url), settings), BlobStore.from_settings(settings)
        self._analyzer = analyzer

    def work(self, media: bytes, options: Options, create_builder: BuilderFactory | None = None) -> str:
        """The id of a job that was posted and worked on."""
        job_id = new_job_id()
        self.blobs.put(media_key(job_id), media)
        self.blobs.put(request_key(job_id), JobRequest(options=options).model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], "ann"))
        self.run(create_builder or self.create_builder)
        return job_id

    def run(self, create_builder: BuilderFactory) -> None:
        config = RunnerConfig(lease_seconds=0.3, storage_backoff_seconds=0)
        AnalysisRunner(self.job_store, self.blobs, self._analyzer, config, create_builder=create_builder).run_next()

    def create_builder(
        self, path: Path, result: Result, options: Options, scratch: Path, check: Callable[[], None], name: str
    ) -> Any:
        return ArtifactBuilder(path, result, options, self._analyzer.models, scratch, MediaLimits(), check, name)

    def result(self, job_id: str, token: int = 1) -> Result:
        content = self.blobs.get(result_key(job_id, token))
        assert content is not None
        return Result.model_validate_json(content)

    def index(self, job_id: str, token: int = 1) -> list[dict[str, Any]]:
        return list(json.loads(self.blobs.get(artifact_key(job_id, token, INDEX)) or b"[]"))

    def status(self, job_id: str) -> str:
        record = self.job_store.get(job_id)
        assert record is not None
        return record.status


@pytest.fixture
def service(url: str, tmp_path: Path, analyzer: Analyzer) -> Service:
    Redis.from_url(url).flushall()
    return Service(url, tmp_path, analyzer)


def test_runner_requested_artifacts_are_stored_and_indexed(service: Service, film: bytes) -> None:
    job_id = service.work(film, ALL)
    assert service.status(job_id) == "succeeded"
    assert "artifact_unavailable" not in [warning.code for warning in service.result(job_id).warnings]
    entries = service.index(job_id)
    assert {"summary.png", "annotated.mp4", "face-1.jpg"} <= {entry["name"] for entry in entries}
    assert {"summary", "video", "face", "person", "heatmap", "features"} == {entry["kind"] for entry in entries}
    for entry in entries:
        content = service.blobs.get(artifact_key(job_id, 1, entry["name"]))
        assert content is not None and content[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"\0\0\0\x20", b"\0\0\0\x1c")
    service.blobs.delete(job_prefix(job_id))
    assert not service.blobs.exists(artifacts_prefix(job_id, 1))


def test_runner_no_artifacts_requested_stores_a_summary(service: Service, film: bytes) -> None:
    job_id = service.work(film, Options(modalities=("audio",)))
    stored = service.blobs.get(summary_key(job_id, 1))
    assert stored is not None
    assert JobSummary.model_validate_json(stored) == JobSummary.of_result(service.result(job_id))
    assert [entry["name"] for entry in service.index(job_id)] == ["summary.png"]


@dataclass(frozen=True)
class Acting:
    """An artifact builder that does what a test says when it makes thumbnails."""

    real: Any
    act: Callable[[], None]
    requested: tuple[Any, ...] = ("summary", "thumbnails")

    def make(self, wish: Any) -> Iterator[Any]:
        if wish == "thumbnails":
            self.act()
        yield from self.real.make(wish)


def acting(service: Service, act: Callable[[], None]) -> BuilderFactory:
    def create_builder(*parts: Any) -> Any:
        return Acting(service.create_builder(*parts), act)

    return create_builder


def refuse() -> None:
    raise MediaInvalid("It cannot be decoded again.")


def crash() -> None:
    raise RuntimeError("/secret/path")


def time_out() -> None:
    raise ProcessingTimeout("Reading the media took longer than allowed.")


@pytest.mark.parametrize(
    ("act", "told"),
    [(refuse, "It cannot be decoded again."), (crash, "Something went wrong"), (time_out, "longer than allowed")],
)
def test_runner_artifact_that_cannot_be_made_becomes_a_warning(
    service: Service, film: bytes, act: Callable[[], None], told: str
) -> None:
    job_id = service.work(film, Options(thumbnails=True, modalities=("audio",)), acting(service, act))
    assert service.status(job_id) == "succeeded"
    (warning,) = [each for each in service.result(job_id).warnings if each.code == "artifact_unavailable"]
    assert told in warning.message and "thumbnails" in warning.message and "secret" not in warning.message
    assert [entry["name"] for entry in service.index(job_id)] == ["summary.png"]


def lose_the_store() -> None:
    raise storage_unavailable()


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("act", [lose_the_store, fill_the_disk])
def test_runner_storage_failure_among_artifacts_requeues_the_job(
    service: Service, film: bytes, act: Callable[[], None]
) -> None:
    job_id = service.work(film, Options(modalities=("audio",)), acting(service, act))
    assert service.status(job_id) == "queued"
    service.run(service.create_builder)
    assert service.status(job_id) == "succeeded"
    assert "artifact_unavailable" not in [warning.code for warning in service.result(job_id, 2).warnings]
    assert [entry["name"] for entry in service.index(job_id, 2)] == ["summary.png"]


def test_store_artifacts_job_time_limit_ends_the_work(service: Service) -> None:
    class Endless:
        requested: tuple[Any, ...] = ("summary", "annotate")

        def make(self, wish: Any) -> Iterator[Any]:
            time_out()
            yield

    with pytest.raises(ProcessingTimeout):
        store_artifacts(Endless(), service.blobs, Claim(job_id=new_job_id(), token=1, attempt=1), time_out)


def test_runner_job_cancelled_among_artifacts_leaves_none(service: Service, film: bytes) -> None:
    def cancel() -> None:
        (record,) = service.job_store.page("ann").records
        service.job_store.cancel(record.id)
        while True:
            check()

    checks: list[Callable[[], None]] = []

    def check() -> None:
        checks[0]()

    def create_builder(*parts: Any) -> Any:
        checks.append(parts[4])
        return Acting(service.create_builder(*parts), cancel)

    job_id = service.work(film, Options(modalities=("audio",)), create_builder)
    assert service.status(job_id) == "cancelled"
    assert not service.blobs.exists(artifacts_prefix(job_id, 1)) and not service.blobs.exists(result_key(job_id, 1))


def test_runner_job_deleted_among_artifacts_leaves_nothing(service: Service, film: bytes) -> None:
    def delete() -> None:
        (record,) = service.job_store.page("ann").records
        service.job_store.delete(record.id)
        service.blobs.delete(job_prefix(record.id))

    job_id = service.work(film, Options(modalities=("audio",)), acting(service, delete))
    assert service.job_store.get(job_id) is None and not service.blobs.exists(job_prefix(job_id))

"""A film of minutes through two real workers, one of which is killed: parts that are done stay done, and the result is
that of the unsplit film."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml.inference.pipeline.analyzer import Analyzer
from ml.inference.pipeline.context import AnalysisContext, cache_in
from ml.results import Options
from tests.cluster import Cluster, check_once, running, until
from tests.documents import apart
from tests.long_files import make_long
from tests.toy_models import make_store
from workers.protocol.blob_keys import parts_prefix
from workers.protocol.blobs.blob_store import BlobStore

pytestmark = pytest.mark.timeout(600)

OPTIONS = Options(frame_rate=1.0, hop_seconds=3.0, keep_media=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    limits = {"long_seconds": "100", "part_seconds": "60", "lease_seconds": "3", "threads": "1"}
    with running(tmp_path_factory.mktemp("long"), worker_kinds="inference", **limits) as cluster:
        make_store(cluster.store.root)
        yield cluster


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_long(tmp_path_factory.mktemp("film") / "film.mp4", 125, pause=57)


@dataclass(frozen=True)
class Unsplit:
    """The film read in one process; in another way from what that process itself kept."""

    analyzer: Analyzer
    film: Path
    kept: Path

    def read(self, options: Options = OPTIONS) -> dict[str, Any]:
        work = (
            AnalysisContext(cached=cache_in(self.kept))
            if any(self.kept.iterdir())
            else AnalysisContext(save_to=self.kept)
        )
        return dict(self.analyzer.analyze(self.film, options, work).model_dump(mode="json", exclude={"timings"}))


@pytest.fixture(scope="module")
def unsplit(cluster: Cluster, film: Path, tmp_path_factory: pytest.TempPathFactory) -> Unsplit:
    analyzer = Analyzer.load(cluster.store.root, device="cpu", threads=1)
    return Unsplit(analyzer, film, tmp_path_factory.mktemp("kept"))


def result_of(client: Any, job_id: str) -> dict[str, Any]:
    document = client.get(f"/v1/jobs/{job_id}/result").raise_for_status().json()
    del document["timings"]
    return dict(document)


def test_a_film_in_parts_outlives_a_worker(cluster: Cluster, film: Path, unsplit: Unsplit) -> None:
    gateway = cluster.start_gateway()
    first, second = cluster.start_worker(), cluster.start_worker()
    cluster.wait_for_workers(2)
    job_id = gateway.post(film, options=OPTIONS.model_dump_json())["id"]
    until(lambda: (cluster.inspector.unfinished_parts(job_id) or 9) <= 2, what="the first part")
    first.kill()
    seen = [progress for *_, progress in cluster.inspector.events(job_id)]
    assert seen == sorted(seen)
    record = cluster.ended(job_id)
    assert record.status == "succeeded", record.failure
    assert check_once(cluster, [job_id]) == {"succeeded": 1}
    # The plan, three parts, the assembly, and once more the part of the worker that died, maybe before it said so.
    first_attempts, second_attempts = (cluster.log().count(f"attempt {number} started") for number in (1, 2))
    assert 5 <= first_attempts + second_attempts <= 6 and second_attempts <= 1
    assert cluster.log().count("ended: split") == 1
    assert list(apart(result_of(gateway.client, job_id), unsplit.read())) == []
    assert not BlobStore.from_settings(cluster.settings).exists(parts_prefix(job_id))
    assert second.runs


def test_a_kept_film_is_read_again_in_another_way(cluster: Cluster, film: Path, unsplit: Unsplit) -> None:
    client = cluster.start_gateway().client
    kept = client.get("/v1/jobs").json()["jobs"][-1]
    other = OPTIONS.model_copy(update={"classes": "simplified", "window_seconds": 6.0, "max_faces": 1})

    def again(source: str, options: Options = other) -> Any:
        form = {"source_job": (None, source), "options": (None, options.model_dump_json())}
        return client.post("/v1/jobs", files=form)

    job = again(kept["id"]).raise_for_status().json()
    assert job["media"] == kept["media"]
    record = cluster.ended(job["id"])
    assert record.status == "succeeded", record.failure
    assert list(apart(result_of(client, job["id"]), unsplit.read(other))) == []
    assert cluster.log().count("ended: split") == 1  # its features were not extracted again
    assert client.get(f"/v1/jobs/{job['id']}/media").content == film.read_bytes()

    third = again(job["id"], Options(modalities=("audio",))).raise_for_status().json()["id"]
    assert cluster.ended(third).status == "succeeded"
    refused = [again(third), again("job_unknown")]
    assert [answer.json()["code"] for answer in refused] == ["job_expired", "job_not_found"]
    both = client.post("/v1/jobs", files={"source_job": (None, third), "file": film.read_bytes()})
    assert both.status_code == 400

    client.delete(f"/v1/jobs/{kept['id']}").raise_for_status()
    assert again(kept["id"]).json()["code"] == "job_not_found"
    assert cluster.ended(again(job["id"]).json()["id"]).status == "succeeded"


def test_a_cancelled_film_leaves_nothing_to_do(cluster: Cluster, film: Path) -> None:
    gateway = cluster.start_gateway()
    job_id = gateway.post(film, options=OPTIONS.model_dump_json())["id"]
    until(lambda: cluster.inspector.unfinished_parts(job_id) is not None, what="the split")
    answer = gateway.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert answer.json()["status"] == "cancelled"
    blobs = BlobStore.from_settings(cluster.settings)
    until(lambda: not blobs.exists(parts_prefix(job_id)) and not blobs.exists(f"jobs/{job_id}/media"), what="no blob")
    assert cluster.job_store.load().running == 0 and cluster.job_store.queue_length() == 0
    gateway.client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    assert not blobs.exists(f"jobs/{job_id}")

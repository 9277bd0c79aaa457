"""From POST to result, with real processes."""

import asyncio
import threading
from pathlib import Path

import pytest

from app.client import AsyncClient, NotFound, verify
from ml.results import Result
from tests import media_files
from tests.e2e.conftest import WEBHOOK_SECRET, Service
from tests.loopback import Handler, loopback


def test_a_video_becomes_a_timeline(service: Service, tmp_path: Path) -> None:
    job = service.finished(media_files.make_video(tmp_path / "talk.mp4", seconds=5.0))
    assert (job.status, job.error, job.stage, job.progress) == ("succeeded", None, "write", 1)
    result = service.affect.result(job)
    assert job.media is not None and result.media.sha256 == job.media.sha256
    assert (result.windows[0].start, result.windows[-1].end) == (0, pytest.approx(5.0, abs=0.1))
    Result.model_validate_json(service.affect.export(job, "json"))
    assert next(service.affect.jobs(status="succeeded")).id == job.id


def test_its_changes_can_be_followed_and_kept_media_fetched_again(service: Service, tmp_path: Path) -> None:
    path = media_files.make_video(tmp_path / "kept.mp4", seconds=1.0)
    job = service.affect.submit(path, options={"keep_media": True, "annotate": True})
    changes = list(service.affect.events(job))
    assert (changes[-1].status, changes[-1].progress) == ("succeeded", 1)
    assert list(service.affect.events(job, changes[-1].id)) == []
    assert service.affect.download_media(job, tmp_path / "again.mp4") == path.stat().st_size
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()
    for artifact in service.affect.artifacts(job):
        assert service.affect.download_artifact(job, artifact.name, tmp_path / "artifact") == artifact.size
    with pytest.raises(NotFound):
        service.affect.download_artifact(job, "none.png", tmp_path / "none")
    again = service.affect.submit(source_job=job, options={"classes": "simplified"})
    assert len(service.affect.result(again, timeout=60).labels) == 5
    service.affect.delete(again)
    service.affect.delete(job)


def test_a_link_becomes_a_result(service: Service, tmp_path: Path) -> None:
    content = media_files.make_image(tmp_path / "picture.png").read_bytes()
    with loopback(lambda handler: handler.reply(200, content)) as server:
        job = service.affect.wait(service.affect.submit(url=server.url("/picture.png")), timeout=60)
    assert (job.status, job.error) == ("succeeded", None)
    assert job.media is not None and (job.media.name, job.media.size) == ("picture.png", len(content))


def test_all_at_once_and_without_a_thread_for_each(service: Service, tmp_path: Path) -> None:
    files = [media_files.make_image(tmp_path / f"{number}.png", (32, 24)) for number in range(5)]

    async def analysed() -> list[Result]:
        async with AsyncClient(str(service.client.base_url)) as affect:
            return await asyncio.gather(*(affect.analyse(file, timeout=60) for file in files))

    assert [result.media.kind for result in asyncio.run(analysed())] == ["image"] * 5


def test_a_webhook_is_told_of_the_end_until_it_hears(service: Service, tmp_path: Path) -> None:
    heard = threading.Event()

    def answer(handler: Handler) -> None:
        handler.reply(200 if len(receiver.requests) > 1 else 500)
        if len(receiver.requests) > 1:
            heard.set()

    with loopback(answer) as receiver:
        job = service.finished(media_files.make_image(tmp_path / "a.png"), webhook_url=receiver.url("/hook"))
        assert heard.wait(60)
    first, second = (verify(each.body, each.headers, WEBHOOK_SECRET) for each in receiver.requests)
    assert first == second and (first.job_id, first.type) == (job.id, "job.succeeded")
    assert service.affect.deliveries(job).attempts[0].status == 500


def test_the_worker_s_bundle_is_told(service: Service) -> None:
    assert service.affect.models() == []
    told = service.client.get("/v1/models").json()
    assert [(bundle["name"], bundle["loaded"]) for bundle in told["bundles"]] == [("default", 1)]


def test_after_a_delete_nothing_is_left(service: Service, tmp_path: Path) -> None:
    job = service.finished(media_files.make_video(tmp_path / "gone.mp4", seconds=1.0))
    service.affect.delete(job)
    with pytest.raises(NotFound):
        service.affect.get(job)
    assert [path for path in service.folder.rglob("*") if job.id in str(path)] == []

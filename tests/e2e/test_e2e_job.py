"""From POST to result, with real processes."""

import threading
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from ml.results import Result
from tests import media_files
from tests.e2e.conftest import WEBHOOK_SECRET, Service
from tests.loopback import Handler, loopback


def test_a_video_becomes_a_timeline(service: Service, tmp_path: Path) -> None:
    job = service.finished(media_files.make_video(tmp_path / "talk.mp4", seconds=5.0))
    assert (job["status"], job["error"], job["stage"], job["progress"]) == ("succeeded", None, "write", 1)
    result = Result.model_validate_json(service.client.get(job["links"]["result"]).raise_for_status().content)
    assert result.media.sha256 == job["media"]["sha256"]
    assert (result.windows[0].start, result.windows[-1].end) == (0, pytest.approx(5.0, abs=0.1))
    listed = service.client.get("/v1/jobs", params={"status": "succeeded", "limit": 1}).json()["jobs"]
    assert [each["id"] for each in listed] == [job["id"]]


def test_a_link_becomes_a_result(service: Service, tmp_path: Path) -> None:
    content = media_files.make_image(tmp_path / "picture.png").read_bytes()
    with loopback(lambda handler: handler.reply(200, content)) as server:
        form = {"url": (None, server.url("/picture.png"))}
        job = service.client.post("/v1/jobs", files=form).raise_for_status().json()
        job = service.ended(job)
    assert (job["status"], job["error"]) == ("succeeded", None)
    assert job["media"]["name"] == "picture.png" and job["media"]["size"] == len(content)


def test_a_webhook_is_told_of_the_end_until_it_hears(service: Service, tmp_path: Path) -> None:
    heard = threading.Event()

    def answer(handler: Handler) -> None:
        handler.reply(200 if len(receiver.requests) > 1 else 500)
        if len(receiver.requests) > 1:
            heard.set()

    with loopback(answer) as receiver:
        job = service.finished(media_files.make_image(tmp_path / "a.png"), webhook_url=receiver.url("/hook"))
        assert heard.wait(60)
    first, second = (Webhook(WEBHOOK_SECRET).verify(each.body, each.headers) for each in receiver.requests)
    assert first == second and first["data"]["id"] == job["id"] and first["type"] == "job.succeeded"


def test_the_worker_s_bundle_is_told(service: Service) -> None:
    told = service.client.get("/v1/models").json()
    assert told["models"] == []
    assert [(bundle["name"], bundle["loaded"]) for bundle in told["bundles"]] == [("default", 1)]


def test_after_a_delete_nothing_is_left(service: Service, tmp_path: Path) -> None:
    job = service.finished(media_files.make_video(tmp_path / "gone.mp4", seconds=1.0))
    assert service.client.delete(job["links"]["self"]).status_code == 204
    assert service.client.get(job["links"]["self"]).status_code == 404
    assert [path for path in service.folder.rglob("*") if job["id"] in str(path)] == []

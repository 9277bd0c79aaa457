"""Media, artifacts and events of a job over HTTP, with keys and tickets."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse, connect_sse

from app.services import results
from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from workers.protocol.blob_keys import artifact_key, media_key
from workers.protocol.records import Claim

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20


def done(gateway: Gateway, artifacts: dict[str, bytes]) -> str:
    """The id of a job that succeeded with these."""
    job_id = gateway.made()
    claim = gateway.job_store.claim()
    assert claim is not None
    for name, content in artifacts.items():
        gateway.blobs.put(artifact_key(job_id, claim.token, name), content)
    gateway.job_store.finish(claim, "succeeded")
    return job_id


def test_artifacts_are_listed_and_served_with_media_types(gateway: Gateway) -> None:
    job_id = done(gateway, {"annotated.mp4": MP4, "heatmap-1.png": PNG})
    gateway.blobs.put(artifact_key(job_id, 99, "late.png"), PNG)  # of a claim that was lost
    listed = gateway.client.get(f"/v1/jobs/{job_id}/artifacts").json()["artifacts"]
    assert [(each["name"], each["media_type"], each["size"]) for each in listed] == [
        ("annotated.mp4", "video/mp4", len(MP4)),
        ("heatmap-1.png", "image/png", len(PNG)),
    ]
    film = gateway.client.get(listed[0]["link"])
    assert (film.content, film.headers["content-type"]) == (MP4, "video/mp4")
    assert gateway.client.get(listed[1]["link"]).content == PNG
    part = gateway.client.get(listed[0]["link"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")


@pytest.mark.parametrize("name", ["late.png", "..%2frequest.json", "%2e%2e", "Annotated.mp4", "a.part", "%00", "é"])
def test_artifact_unknown_name_is_not_found(gateway: Gateway, name: str) -> None:
    job_id = done(gateway, {"annotated.mp4": MP4})
    answer = gateway.client.get(f"/v1/jobs/{job_id}/artifacts/{name}")
    assert answer.status_code == 404
    if "%2" not in name:  # else there is no such path at all
        problem(answer, 404, "artifact_not_found")


def test_artifacts_of_job_without_result_are_conflict(gateway: Gateway) -> None:
    job_id = gateway.made()
    for path in ("artifacts", "artifacts/annotated.mp4"):
        problem(gateway.client.get(f"/v1/jobs/{job_id}/{path}"), 409, "job_unfinished")
    gateway.client.post(f"/v1/jobs/{job_id}/cancel")
    problem(gateway.client.get(f"/v1/jobs/{job_id}/artifacts"), 409, "job_cancelled")
    assert gateway.client.get(f"/v1/jobs/{done(gateway, {})}/artifacts").json() == {"artifacts": []}


def test_media_stored_are_served_in_ranges(gateway: Gateway) -> None:
    job_id = gateway.post(MP4, "Größe ü.mov", options='{"keep_media": true}').json()["id"]
    path = f"/v1/jobs/{job_id}/media"
    whole = gateway.client.get(path)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, MP4, "video/mp4")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"].startswith("inline; filename=\"Gr__e _.mp4\"; filename*=UTF-8''Gr%C3")
    etag = whole.headers["etag"]

    def ask(wanted: str, if_range: str | None = None) -> httpx.Response:
        headers = {"Range": wanted} | ({"If-Range": if_range} if if_range else {})
        return gateway.client.get(path, headers=headers)

    part = ask("bytes=100-199", etag)
    assert (part.status_code, part.content, part.headers["content-length"]) == (206, MP4[100:200], "100")
    assert part.headers["content-range"] == f"bytes 100-199/{len(MP4)}"
    assert ask("bytes=-5").content == MP4[-5:]
    assert ask("bytes=100-199", '"other"').status_code == 200
    assert ask("bytes=0-1,5-6").content == MP4
    beyond = ask(f"bytes={len(MP4)}-")
    problem(beyond, 416, "validation_failed")
    assert beyond.headers["content-range"] == f"bytes */{len(MP4)}"
    gateway.succeed()
    assert gateway.client.get(f"/v1/jobs/{job_id}").json()["links"]["media"] == path
    assert ask("bytes=0-3").content == MP4[:4]


def test_media_not_stored_are_not_found(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.succeed()
    gateway.blobs.delete(media_key(job_id))  # as a worker does
    job = gateway.client.get(f"/v1/jobs/{job_id}").json()
    assert job["links"]["media"] is None
    problem(gateway.client.get(f"/v1/jobs/{job_id}/media"), 404, "artifact_not_found")


def test_media_deleted_while_sent_break_connection(gateway: Gateway) -> None:
    content = MP4 + bytes(24 * 2**20)
    job_id = gateway.made(content=content)
    with gateway.client.stream("GET", f"/v1/jobs/{job_id}/media") as answer:
        received = answer.iter_bytes()
        next(received)
        gateway.client.delete(f"/v1/jobs/{job_id}")
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in received:
                pass


def events(gateway: Gateway, job_id: str, headers: dict[str, str] | None = None) -> Iterator[ServerSentEvent]:
    with connect_sse(gateway.client, "GET", f"/v1/jobs/{job_id}/events", headers=headers or {}) as source:
        for event in source.iter_sse():
            if event.data:
                yield event


def states(read: Iterator[ServerSentEvent]) -> list[tuple[str, str | None, float]]:
    told = [json.loads(event.data) for event in read]
    return [(each["status"], each["stage"], each["progress"]) for each in told]


def test_events_report_changes_up_to_final_state(gateway: Gateway) -> None:
    job_id = gateway.made()
    reader = events(gateway, job_id)
    assert json.loads(next(reader).data) == {"status": "queued", "stage": None, "progress": 0}
    claim = gateway.job_store.claim()
    assert claim is not None
    gateway.job_store.renew(claim, "faces", 0.25)
    assert states(iter([next(reader), next(reader)])) == [("running", None, 0), ("running", "faces", 0.25)]
    gateway.job_store.finish(claim, "succeeded", stage="write")
    assert states(reader) == [("succeeded", "write", 1)]


def test_events_resume_after_last_event_id(gateway: Gateway) -> None:
    job_id = gateway.made()
    claim = gateway.job_store.claim()
    assert claim is not None
    seen = next(events(gateway, job_id))
    for step in range(1, 4):
        gateway.job_store.renew(claim, "decode", step / 10)
    gateway.job_store.finish(claim, "failed")
    rest = list(events(gateway, job_id, {"Last-Event-ID": seen.id}))
    assert [each[2] for each in states(iter(rest))] == [0.1, 0.2, 0.3, 0.3]
    again = gateway.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": rest[-1].id})
    assert (again.status_code, again.content) == (204, b"")
    problem(gateway.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "x"}), 400, "validation_failed")


def test_events_of_old_job_report_final_state_once(gateway: Gateway) -> None:
    job_id = done(gateway, {})
    gateway.redis.expire_events(job_id)
    (event,) = events(gateway, job_id, {"Last-Event-ID": "1-0"})
    assert json.loads(event.data)["status"] == "succeeded"
    assert gateway.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": event.id}).status_code == 204


@pytest.mark.parametrize(("act", "last"), [("cancel", "cancelled"), ("delete", "deleted")])
def test_events_end_with_job(gateway: Gateway, act: str, last: str) -> None:
    job_id = gateway.made()
    reader = events(gateway, job_id)
    next(reader)
    getattr(gateway.job_store, act)(job_id)
    assert [state for state, *_ in states(reader)] == [last]


def test_events_send_keep_alive_and_stop_with_reader(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEEPALIVE_SECONDS", 0.05)
    job_id = gateway.made()

    with gateway.client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert [line for line in (next(lines) for _ in range(8)) if line.startswith(":")]
        assert eventually(lambda: gateway.redis.blocked_clients() == 1)
    assert eventually(lambda: gateway.redis.blocked_clients() == 0)


def test_events_more_readers_than_threads_are_served(gateway: Gateway) -> None:
    job_id = gateway.made()
    path, readers = f"/v1/jobs/{job_id}/events", 120
    reading = asyncio.Barrier(readers + 1)

    async def read(client: httpx.AsyncClient) -> list[str]:
        async with aconnect_sse(client, "GET", path) as source:
            told = (json.loads(event.data)["status"] async for event in source.aiter_sse() if event.data)
            first = await anext(told)
            await reading.wait()
            return [first] + [status async for status in told]

    async def run() -> list[list[str]]:
        limits = httpx.Limits(max_connections=readers)
        async with httpx.AsyncClient(base_url=gateway.client.base_url, timeout=60, limits=limits) as client:
            tasks = [asyncio.create_task(read(client)) for _ in range(readers)]
            await reading.wait()
            assert gateway.client.get(f"/v1/jobs/{job_id}").status_code == 200
            gateway.job_store.cancel(job_id)
            return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [["queued", "cancelled"]] * readers


VIEWS = ["/v1/jobs/{}/events", "/v1/jobs/{}/media", "/v1/jobs/{}/artifacts", "/v1/jobs/{}/artifacts/a.png"]


def test_ticket_replaces_key_for_reading(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    gateway = open_gateway()
    answer = gateway.client.post(
        "/v1/jobs",
        files={"file": ("a.png", PNG)},
        data={"options": '{"keep_media": true}'},
        headers=bearer("new"),
    )
    job_id = answer.json()["id"]
    claim = gateway.job_store.claim()
    assert isinstance(claim, Claim)
    gateway.blobs.put(artifact_key(job_id, claim.token, "a.png"), PNG)
    gateway.job_store.finish(claim, "succeeded")
    for view in VIEWS:
        path = view.format(job_id)
        made = {name: gateway.client.post("/v1/tickets", headers=bearer(name)) for name in ("old", "bobs")}
        assert all(each.status_code == 201 for each in made.values())
        mine, others = (made[name].json()["ticket"] for name in ("old", "bobs"))
        assert gateway.client.get(path, params={"ticket": mine}).status_code == 200, path
        problem(gateway.client.get(path, params={"ticket": others}), 404, "job_not_found")
        problem(gateway.client.get(path, params={"ticket": "guessed"}), 401, "unauthorized")
        problem(gateway.client.get(path), 401, "unauthorized")
    problem(gateway.client.get(f"/v1/jobs/{job_id}", params={"ticket": mine}), 401, "unauthorized")
    problem(gateway.client.post("/v1/tickets", params={"ticket": mine}), 401, "unauthorized")

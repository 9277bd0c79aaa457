"""The job routes over real HTTP, job store and blobs."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from app.services import submission
from tests.app.calls import problem
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from tests.app.multipart import CONTENT_TYPE, encode
from workers.protocol.blob_keys import media_key, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import storage_full
from workers.protocol.records import Failure, JobRequest
from workers.protocol.store.job_store import JobStore


def test_submit_file_creates_queued_job(gateway: Gateway) -> None:
    content = PNG + bytes(range(256)) * 10_000
    answer = gateway.post(content, "party.png", options='{"frame_rate": 2}', tag=["a", "b"])
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["progress"], job["error"], job["tags"]) == ("queued", 0, None, ["a", "b"])
    assert job["options"]["frame_rate"] == 2
    assert job["media"] == {"name": "party.png", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert gateway.blobs.get(media_key(job["id"])) == content
    assert gateway.client.get(job["links"]["self"]).json() == job


def test_submit_same_file_name_twice_creates_two_jobs(gateway: Gateway) -> None:
    first, second = gateway.made(content=PNG + b"1"), gateway.made(content=PNG + b"2")
    assert gateway.blobs.get(media_key(first)) == PNG + b"1"
    assert gateway.blobs.get(media_key(second)) == PNG + b"2"


def test_submit_several_files_creates_batch_in_order(gateway: Gateway) -> None:
    files = [("file", (f"{number}.png", PNG + bytes([number]))) for number in range(3)]
    jobs = gateway.client.post("/v1/jobs", files=files).json()["jobs"]
    assert [job["media"]["name"] for job in jobs] == ["0.png", "1.png", "2.png"]
    assert gateway.job_store.queue_length() == 3


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "a/../../b.png"])
def test_submit_file_name_is_never_a_path(gateway: Gateway, tmp_path: Path, name: str) -> None:
    job_id = gateway.made(name=name)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {f"blobs/jobs/{job_id}/{part}" for part in ("media/0", "request.json")}


def test_submit_transcript_is_stored_in_request(gateway: Gateway) -> None:
    job_id = gateway.made(transcript="Hello there.")
    stored = gateway.blobs.get(request_key(job_id))
    assert stored is not None
    assert JobRequest.model_validate_json(stored).transcript == "Hello there."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nÇa va\n".encode("utf-16")),
        ("a.pdf", "1\n00:00:01,000 --> 00:00:02,000\nÇa va\n".encode("cp1252")),
    ],
)
def test_submit_transcript_as_file_is_decoded_by_its_content(gateway: Gateway, name: str, content: bytes) -> None:
    files = {"file": ("a.png", PNG), "transcript": (name, content)}
    answer = gateway.client.post("/v1/jobs", files=files)
    assert answer.status_code == 202, answer.text
    stored = gateway.blobs.get(request_key(answer.json()["id"]))
    assert stored is not None
    assert JobRequest.model_validate_json(stored).transcript == "1\n00:00:01,000 --> 00:00:02,000\nÇa va\n"


@pytest.mark.parametrize(
    ("content", "name"), [(b"%PDF-1.7", "PDF"), (b"<SAMI>", "SAMI"), (b'{"a": 1}', "JSON"), (bytes(99), "binary")]
)
def test_submit_unsupported_transcript_is_named(gateway: Gateway, content: bytes, name: str) -> None:
    answer = gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG), "transcript": ("a.srt", content)})
    detail = problem(answer, 415, "unsupported_transcript")["detail"]
    assert name in detail and "SubRip" in detail and "UTF-16" in detail
    assert gateway.stored() == []


@pytest.mark.parametrize(
    ("written", "code"), [("eng", "en"), ("en-US", "en"), ("English", "en"), ("EN", "en"), ("auto", None)]
)
def test_submit_language_is_normalised(gateway: Gateway, written: str, code: str | None) -> None:
    job = gateway.post(options=json.dumps({"language": written})).json()
    assert job["options"]["language"] == code


def test_submit_language_of_no_language_is_named_with_an_example(gateway: Gateway) -> None:
    fault = problem(gateway.post(options='{"language": "xx"}'), 400, "invalid_options")["errors"][0]
    assert fault["location"] == "options.language" and '"en"' in fault["message"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "media_invalid"),
        (b"a text named .mp4", 415, "unsupported_media"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", 415, "unsupported_media"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", 415, "unsupported_media"),
        (PNG + bytes(200_000), 413, "file_too_large"),
    ],
)
def test_submit_bad_file_is_rejected_and_leaves_nothing(
    open_gateway: OpenGateway, content: bytes, status: int, code: str
) -> None:
    gateway = open_gateway(max_upload_bytes=100_000)
    told = problem(gateway.post(content, "video.mp4"), status, code)
    assert told["errors"][0]["index"] == 0
    assert "passwd" not in json.dumps(told)
    assert gateway.stored() == []
    assert gateway.job_store.queue_length() == 0
    assert gateway.post().status_code == 202


@pytest.mark.parametrize(
    "options",
    [
        "{",
        "",
        "[]",
        "null",
        '"x"',
        '{"surprise": 1}',
        '{"frame_rate": "4"}',
        '{"frame_rate": 0}',
        '{"frame_rate": NaN}',
        '{"modalities": []}',
        '{"modalities": ["smell"]}',
        '{"words": "yes"}',
        '{"hop_seconds": 10}',
        "[" * 5000,
    ],
)
def test_submit_invalid_options_are_named(gateway: Gateway, options: str) -> None:
    told = problem(gateway.post(options=options), 400, "invalid_options")
    assert all(fault["location"].startswith("options") for fault in told["errors"])
    assert gateway.stored() == []


@pytest.mark.parametrize("order", [("file", "options"), ("options", "file")])
def test_submit_fields_in_any_order_are_accepted(gateway: Gateway, order: tuple[str, str]) -> None:
    parts = {"file": ("file", PNG, "a.png"), "options": ("options", b'{"words": false}')}
    body = encode([parts[name] for name in order])
    job = gateway.client.post("/v1/jobs", content=body, headers={"content-type": CONTENT_TYPE}).json()
    assert job["options"]["words"] is False


@pytest.mark.parametrize(
    "fields",
    [{"transcript": "WEBVTT\n\nno --> cue"}, {"transcript": " "}, {"tag": ""}, {"tag": "x" * 65}, {"url": "http://x/"}],
)
def test_submit_invalid_field_is_rejected(gateway: Gateway, fields: dict[str, str]) -> None:
    problem(gateway.post(**fields), 400, "validation_failed")
    assert gateway.stored() == []


def test_submit_transcript_with_several_files_is_rejected(gateway: Gateway) -> None:
    files = [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]
    answer = gateway.client.post("/v1/jobs", files=files, data={"transcript": "Hello."})
    problem(answer, 400, "validation_failed")
    assert gateway.stored() == []


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", CONTENT_TYPE])
def test_submit_other_content_type_is_rejected(gateway: Gateway, content_type: str) -> None:
    answer = gateway.client.post("/v1/jobs", content=b"{}", headers={"content-type": content_type})
    problem(answer, 400, "validation_failed")


def test_submit_without_file_is_rejected(gateway: Gateway) -> None:
    body = encode([("options", b"{}")])
    answer = gateway.client.post("/v1/jobs", content=body, headers={"content-type": CONTENT_TYPE})
    assert "`file`" in problem(answer, 400, "validation_failed")["detail"]


def test_submit_too_long_content_length_is_rejected_before_body(gateway: Gateway) -> None:
    address = gateway.client.base_url
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    with socket.create_connection((address.host, address.port)) as raw:
        raw.sendall(f"{head}Content-Length: 9000000000000\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 413")


def test_submit_chunked_body_is_limited(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_upload_bytes=1000)

    def body() -> Iterator[bytes]:
        yield encode([("file", PNG, "a.png")])[:-40]
        yield from [bytes(1000)] * 5

    answer = gateway.client.post("/v1/jobs", content=body(), headers={"content-type": CONTENT_TYPE})
    problem(answer, 413, "file_too_large")
    assert gateway.stored() == []


def test_submit_disconnected_caller_leaves_nothing(gateway: Gateway, tmp_path: Path) -> None:
    address = gateway.client.base_url
    body = encode([("file", PNG + bytes(5 * 2**20), "a.png")])
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    with socket.create_connection((address.host, address.port)) as raw:
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: 4 * 2**20])
        assert eventually(lambda: bool(gateway.stored()))
    assert eventually(lambda: gateway.stored() == [])
    assert gateway.job_store.queue_length() == 0


def test_submit_batch_to_full_queue_is_rejected_completely(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_queued=2)
    gateway.made()
    stored = gateway.stored()
    answer = gateway.client.post("/v1/jobs", files=[("file", ("a.png", PNG)), ("file", ("b.png", PNG))])
    problem(answer, 429, "too_many_jobs")
    assert int(answer.headers["retry-after"]) > 0
    assert gateway.stored() == stored


def test_submit_without_disk_space_is_storage_full(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise storage_full()

    monkeypatch.setattr(BlobStore, "put", refuses)
    problem(gateway.post(), 507, "storage_full")
    assert gateway.stored() == []


def test_submit_without_redis_is_queue_unavailable(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(redis_url="unix:///nowhere/redis.sock")
    for answer in (gateway.post(), gateway.client.get("/v1/jobs/job_x")):
        problem(answer, 503, "queue_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert gateway.stored() == []


def test_result_of_succeeded_job_is_returned(gateway: Gateway) -> None:
    job_id = gateway.made()
    early = gateway.client.get(f"/v1/jobs/{job_id}/result")
    problem(early, 409, "job_unfinished")
    assert int(early.headers["retry-after"]) > 0
    assert gateway.succeed(b'{"schema_version": "1"}') == job_id
    assert gateway.client.get(f"/v1/jobs/{job_id}/result").json() == {"schema_version": "1"}
    job = gateway.client.get(f"/v1/jobs/{job_id}").json()
    assert (job["status"], job["progress"]) == ("succeeded", 1)
    assert job["created_at"] < job["finished_at"] < job["expires_at"]


def test_result_unknown_format_is_rejected(gateway: Gateway) -> None:
    job_id = gateway.made()
    told = problem(gateway.client.get(f"/v1/jobs/{job_id}/result?format=xml"), 400, "validation_failed")
    assert told["errors"][0]["location"] == "query.format"


def test_failed_job_and_its_result_have_problem(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.fail(Failure(code="no_streams", message="Nothing to see or hear.", stage="probe"))
    told = problem(gateway.client.get(f"/v1/jobs/{job_id}/result"), 422, "no_streams")
    assert (told["stage"], told["retryable"], told["detail"]) == ("probe", False, "Nothing to see or hear.")
    shown = gateway.client.get(f"/v1/jobs/{job_id}").json()["error"]
    assert shown["code"] == "no_streams"
    assert shown["status"] == 422


def test_result_of_cancelled_job_is_conflict(gateway: Gateway) -> None:
    job_id = gateway.made()
    assert gateway.client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    problem(gateway.client.get(f"/v1/jobs/{job_id}/result"), 409, "job_cancelled")


def test_cancel_running_job_requests_stop(gateway: Gateway) -> None:
    job_id = gateway.made()
    claim = gateway.job_store.claim()
    assert claim is not None
    assert gateway.client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "running"
    assert gateway.job_store.renew(claim) is True


def test_deleted_job_is_not_found(gateway: Gateway) -> None:
    job_id = gateway.made()
    assert gateway.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert gateway.stored() == []
    for call in (
        gateway.client.get(f"/v1/jobs/{job_id}"),
        gateway.client.delete(f"/v1/jobs/{job_id}"),
        gateway.client.get("/v1/jobs/job_never/result"),
        gateway.client.post("/v1/jobs/..%2f..%2fetc/cancel"),
    ):
        assert call.status_code == 404
    problem(gateway.client.get(f"/v1/jobs/{job_id}"), 404, "job_not_found")


def test_expired_job_is_gone(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(result_ttl=0.001, lease_seconds=0.1)
    job_id = gateway.made()
    gateway.succeed()
    assert eventually(lambda: gateway.client.get(f"/v1/jobs/{job_id}").status_code == 410)
    assert eventually(lambda: gateway.stored() == [])
    problem(gateway.client.get(f"/v1/jobs/{job_id}/result"), 410, "job_expired")


def test_long_poll_returns_when_job_changes_state(gateway: Gateway) -> None:
    job_id = gateway.made()
    answered: list[tuple[float, str]] = []
    asked = threading.Event()

    def poll() -> None:
        asked.set()
        answer = gateway.client.get(f"/v1/jobs/{job_id}?wait=10")
        answered.append((time.monotonic(), answer.json()["status"]))

    thread = threading.Thread(target=poll)
    thread.start()
    asked.wait()
    thread.join(0.3)
    assert answered == []  # it does wait
    changed = time.monotonic()
    gateway.job_store.claim()
    thread.join(5)
    (moment, status) = answered[0]
    assert status == "running"
    assert moment - changed < 0.5


def test_long_poll_ends_after_timeout_and_at_once_for_ended_job(gateway: Gateway) -> None:
    job_id = gateway.made()
    answer = gateway.client.get(f"/v1/jobs/{job_id}?wait=0.2")
    assert (answer.json()["status"], answer.headers["retry-after"]) == ("queued", "1")
    gateway.succeed()
    began = time.monotonic()
    answer = gateway.client.get(f"/v1/jobs/{job_id}?wait=30")
    assert time.monotonic() - began < 5
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan"])
def test_long_poll_invalid_wait_is_rejected(gateway: Gateway, wait: str) -> None:
    told = problem(gateway.client.get(f"/v1/jobs/job_x?wait={wait}"), 400, "validation_failed")
    assert told["errors"][0]["location"] == "query.wait"


@pytest.mark.parametrize("end", ["delete", "cancel"])
def test_long_poll_ends_with_job(gateway: Gateway, end: str) -> None:
    job_id = gateway.made()
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(gateway.client.get(f"/v1/jobs/{job_id}?wait=15")))
    thread.start()
    thread.join(0.1)
    assert answers == []
    getattr(gateway.job_store, end)(job_id)
    thread.join(5)
    assert answers[0].status_code == 404 if end == "delete" else answers[0].json()["status"] == "cancelled"


def test_long_polls_hold_no_thread(gateway: Gateway) -> None:
    """More than the thread pool has threads, and the service answers all the same."""
    job_id = gateway.made()
    waiting = [threading.Thread(target=gateway.client.get, args=(f"/v1/jobs/{job_id}?wait=19",)) for _ in range(60)]
    for thread in waiting:
        thread.start()
    with Redis.from_url(gateway.settings.redis_url) as redis:
        assert eventually(lambda: redis.info("clients")["blocked_clients"] >= len(waiting), 18)
    assert gateway.client.get(f"/v1/jobs/{job_id}").status_code == 200
    assert all(thread.is_alive() for thread in waiting)
    gateway.job_store.claim()
    for thread in waiting:
        thread.join(10)
    assert not any(thread.is_alive() for thread in waiting)


def test_queued_job_has_position(gateway: Gateway) -> None:
    ids = [gateway.made() for _ in range(3)]

    def places() -> list[int | None]:
        return [gateway.client.get(f"/v1/jobs/{job_id}").json()["position"] for job_id in ids]

    assert places() == [0, 1, 2]
    gateway.client.post(f"/v1/jobs/{ids[1]}/cancel")
    assert places() == [0, None, 1]
    gateway.succeed()
    assert places() == [None, None, 0]


def test_cancel_queued_job_frees_position_and_media(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_queued=1)
    job_id = gateway.made()
    problem(gateway.post(), 429, "too_many_jobs")
    gateway.client.post(f"/v1/jobs/{job_id}/cancel")
    assert gateway.blobs.get(media_key(job_id)) is None
    gateway.client.delete(f"/v1/jobs/{gateway.made()}")
    gateway.made()


def test_list_jobs_is_paged_newest_first(gateway: Gateway) -> None:
    ids = [gateway.made(tag=[f"n{number}", "all"]) for number in range(5)]
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = gateway.client.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]
    listed = gateway.client.get("/v1/jobs", params={"tag": "n3"}).json()["jobs"]
    assert listed == [gateway.client.get(f"/v1/jobs/{ids[3]}").json()]
    gateway.succeed()
    done = gateway.client.get("/v1/jobs?status=succeeded&tag=all").json()["jobs"]
    assert [job["id"] for job in done] == ids[:1]
    assert gateway.client.get("/v1/jobs?status=failed").json() == {"jobs": [], "next_cursor": None}


@pytest.mark.parametrize("query", ["status=lost", "limit=0", "limit=101", "cursor=x", "cursor=-1", "tag=" + "x" * 65])
def test_list_jobs_invalid_query_is_rejected(gateway: Gateway, query: str) -> None:
    told = problem(gateway.client.get(f"/v1/jobs?{query}"), 400, "validation_failed")
    assert told["errors"][0]["location"] == "query." + query.partition("=")[0]


def test_submit_slow_upload_is_renewed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "UPLOAD_TTL_SECONDS", 0.03)
    held = threading.Event()
    monkeypatch.setattr(JobStore, "renew_upload", lambda job_store, job_id: held.set())

    def body() -> Iterator[bytes]:
        whole = encode([("file", PNG + bytes(3 * 2**20), "a.png")])
        yield whole[: 2 * 2**20]
        assert held.wait(5)
        yield whole[2 * 2**20 :]

    answer = gateway.client.post("/v1/jobs", content=body(), headers={"content-type": CONTENT_TYPE})
    assert answer.status_code == 202


def test_submit_to_full_queue_is_rejected_before_body(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_queued=1)
    gateway.made()
    address = gateway.client.base_url
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
    with socket.create_connection((address.host, address.port)) as raw:
        raw.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 429")

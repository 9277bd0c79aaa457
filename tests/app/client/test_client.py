"""The client, blocking and asynchronous, against the real gateway and against a server on loopback that misbehaves."""

import asyncio
import inspect
import io
import json
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

import app.client
import ml.results
from app.client import (
    AffectError,
    AsyncClient,
    Client,
    ConnectionFailed,
    Expired,
    ForbiddenUrl,
    IdempotencyError,
    InvalidRequest,
    Job,
    JobCancelled,
    JobFailed,
    MediaRefused,
    NotFound,
    Result,
    Retries,
    StillRunning,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Upload,
)
from app.client.errors import error_from
from app.errors import ERRORS, Problem
from tests.app.conftest import PNG, Gateway, OpenGateway
from tests.documents import RESULT
from tests.loopback import Answer, Handler, loopback
from tests.ml.reports.made_results import interview
from workers.protocol.blob_keys import media_key, request_key
from workers.protocol.records import Failure, JobRequest
from workers.protocol.store.job_store import NewJobs

ROOT = Path(__file__).parents[3]
QUICK = Retries(most=3, pause=0.001)
JOB = {"id": "job_1", "status": "queued", "created_at": "2026-01-01T00:00:00Z"}


class Caller:
    """Calls a method of one of the two clients; what it iterates over becomes a list."""

    def __init__(self, kind: str, url: str, retries: Retries = QUICK, **how: Any) -> None:
        self._kind, self._how = kind, {"url": url, "retries": retries, **how}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *values, **named: self._call(name, *values, **named)

    def _call(self, name: str, *values: Any, **named: Any) -> Any:
        if self._kind == "async":
            return asyncio.run(self._call_async(name, *values, **named))
        with Client(**self._how) as client:
            found = getattr(client, name)(*values, **named)
            return list(found) if inspect.isgenerator(found) else found

    async def _call_async(self, name: str, *values: Any, **named: Any) -> Any:
        async with AsyncClient(**self._how) as client:
            found = getattr(client, name)(*values, **named)
            return [each async for each in found] if isinstance(found, AsyncIterator) else await found


Calling = Callable[..., Caller]


@pytest.fixture(params=["blocking", "async"])
def calling(request: pytest.FixtureRequest) -> Calling:
    return lambda url, **how: Caller(request.param, url, **how)


def problem(status: int, code: str, **more: Any) -> Answer:
    body = {"type": "about:blank", "title": "No", "status": status, "code": code, "detail": "not so", **more}
    return lambda handler: handler.reply(status, json.dumps(body).encode(), Content_Type="application/problem+json")


def telling(value: Any) -> Answer:
    return lambda handler: handler.reply(200, json.dumps(value).encode())


def in_turn(*answers: Answer) -> Answer:
    """One after another; the last for ever."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def broken(handler: Handler) -> None:
    """Ends without an answer."""


def address(gateway: Gateway) -> str:
    return str(gateway.client.base_url)


@pytest.mark.parametrize("form", ["path", "string", "bytes", "file", "named"])
def test_submit_source_of_any_type_creates_job(gateway: Gateway, calling: Calling, tmp_path: Path, form: str) -> None:
    path = tmp_path / "party.png"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        forms = {
            "path": path,
            "string": str(path),
            "bytes": PNG,
            "file": file,
            "named": Upload(io.BytesIO(PNG), "a.png"),
        }
        asked = {"options": {"frame_rate": 2}, "tags": ["a", "b"], "transcript": "Hello."}
        job = calling(address(gateway)).submit(forms[form], **asked)
    assert isinstance(job, Job) and job.status == "queued" and not job.ended and job.position == 0
    assert gateway.blobs.get(media_key(job.id)) == PNG
    assert job.media is not None and job.media.name == {"bytes": "upload", "named": "a.png"}.get(form, "party.png")
    assert job.tags == ("a", "b") and job.options["frame_rate"] == 2
    stored = gateway.blobs.get(request_key(job.id))
    assert stored is not None and JobRequest.model_validate_json(stored).transcript == "Hello."


@pytest.mark.parametrize("form", ["path", "bytes"])
def test_submit_transcript_may_be_a_file(gateway: Gateway, calling: Calling, tmp_path: Path, form: str) -> None:
    path = tmp_path / "said.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\nÇa va\n".encode("utf-16"))
    job = calling(address(gateway)).submit(PNG, transcript=path if form == "path" else path.read_bytes())
    stored = gateway.blobs.get(request_key(job.id))
    assert stored is not None and "Ça va" in (JobRequest.model_validate_json(stored).transcript or "")


def test_submit_all_creates_batch_and_submit_url_creates_job(gateway: Gateway, calling: Calling) -> None:
    client = calling(address(gateway))
    jobs = client.submit_all([PNG + b"1", Upload(PNG + b"2", "two.png")], tags=["batch"])
    assert [job.media.name for job in jobs] == ["upload", "two.png"]
    linked = client.submit(url="https://media.example/talk.mp4")
    assert linked.media is None and gateway.job_store.get(linked.id).queue == "io"  # type: ignore[union-attr]
    with pytest.raises(ForbiddenUrl):
        client.submit(url="http://127.0.0.1/talk.mp4")
    for wrong in (
        {},
        {"source": PNG, "url": "https://media.example/a"},
        {"url": "https://a.example/", "source_job": "j"},
    ):
        with pytest.raises(ValueError, match="give a file"):
            client.submit(**wrong)


def test_analyse_returns_result(gateway: Gateway, calling: Calling) -> None:
    client = calling(address(gateway))
    content = RESULT.model_dump_json().encode()
    worker = threading.Thread(target=lambda: work(gateway, content))
    worker.start()
    result = client.analyse(PNG)
    worker.join()
    assert isinstance(result, Result) and result.media.kind == "image" and result.overall.emotion is None
    (job,) = client.jobs()
    assert job.ended and client.wait(job).status == "succeeded" and client.get(job.id) == job
    assert client.result(job) == result and client.export(job, "csv").startswith(b'"file",')
    assert client.deliveries(job).state == "none" and client.models() == []
    client.delete(job)
    client.delete(job)  # an answer may have been lost
    with pytest.raises(NotFound):
        client.get(job)


def test_change_names_people_and_tags(gateway: Gateway, calling: Calling) -> None:
    client = calling(address(gateway))
    job = client.submit(PNG)
    gateway.succeed(interview().result.model_dump_json().encode())
    assert client.change(job, people={1: "Ann"}, merge=[(1, 3)], split=[2], tags=["new"]).tags == ("new",)
    assert [(person.person, person.name) for person in client.result(job).people] == [(1, "Ann"), (2, None), (4, None)]
    assert b"<v Ann>" in client.export(job, "vtt", person=1)
    client.restore_people(job.id)
    assert [person.person for person in client.result(job).people] == [1, 2, 3]
    with pytest.raises(InvalidRequest, match="no person 9"):
        client.change(job, people={9: None})


def work(gateway: Gateway, content: bytes) -> None:
    while not gateway.job_store.queue_length():
        threading.Event().wait(0.01)
    gateway.succeed(content)


def test_jobs_iterates_over_all_pages(gateway: Gateway, calling: Calling) -> None:
    ids = [f"job_{number}" for number in range(250)]
    gateway.job_store.create(NewJobs(ids, "local"))
    client = calling(address(gateway))
    assert [job.id for job in client.jobs()] == ids[::-1]
    assert client.jobs(status="failed") == [] and client.jobs(tag="none") == []


def test_result_of_unsuccessful_job_raises(gateway: Gateway, calling: Calling) -> None:
    client = calling(address(gateway))
    job = client.submit(PNG)
    gateway.fail(Failure(code="media_invalid", message="Nothing could be decoded.", stage="decode"))
    with pytest.raises(JobFailed, match="Nothing could be decoded") as failed:
        client.result(job)
    assert (failed.value.code, failed.value.retryable, failed.value.status) == ("media_invalid", False, 422)
    assert client.wait(job).error.stage == "decode"
    job = client.cancel(client.submit(PNG))
    assert job.status == "cancelled"
    with pytest.raises(JobCancelled):
        client.result(job)
    job = client.submit(PNG)
    with pytest.raises(StillRunning) as still:
        client.wait(job, timeout=0.05)
    assert still.value.job.id == job.id and still.value.job.status == "queued"
    with pytest.raises(MediaRefused) as refused:
        client.submit(b"no media")
    assert refused.value.code == "unsupported_media" and refused.value.problem.errors[0].index == 0
    with pytest.raises(InvalidRequest, match="frame_rate"):
        client.submit(PNG, options={"frame_rate": -1})


def test_api_key_is_sent(open_gateway: OpenGateway, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of foo
    gateway = open_gateway(api_keys=f"ann:{digest}")
    with pytest.raises(Unauthorized):
        calling(address(gateway)).submit(PNG)
    assert calling(address(gateway), api_key="foo").jobs() == []
    monkeypatch.setenv("AFFECT_API_KEY", "foo")
    monkeypatch.setenv("AFFECT_URL", address(gateway))
    assert calling(None).jobs() == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "forbidden_url", ForbiddenUrl), (404, "artifact_not_found", NotFound), (410, "job_expired", Expired),
        (413, "file_too_large", MediaRefused), (422, "idempotency_mismatch", IdempotencyError),
        (507, "storage_full", Unavailable), (418, "of_a_newer_service", AffectError),
    ],
)  # fmt: skip
def test_error_has_code_of_service(calling: Calling, status: int, code: str, kind: type[AffectError]) -> None:
    with loopback(problem(status, code)) as server, pytest.raises(kind) as raised:
        calling(server.url("")).get("job_1")
    assert (raised.value.code, raised.value.status, len(server.requests)) == (code, status, 1)
    assert "not so" in str(raised.value)


JOB_FAILURES = {
    "media_too_long",
    "media_too_large_frame",
    "no_streams",
    "fetch_failed",
    "processing_timeout",
    "worker_lost",
}
"""Codes that only failed jobs have: `JobFailed` stands for all of them."""


@pytest.mark.parametrize("code", sorted(set(ERRORS) - JOB_FAILURES - {"internal_error"}))
def test_error_code_of_service_has_an_exception(code: str) -> None:
    response = httpx.Response(ERRORS[code].status, content=Problem.from_code(code).model_dump_json())
    assert type(error_from(response)) is not AffectError
    assert isinstance(error_from(response, needs_result=True), JobFailed) == (ERRORS[code].status == 422)


def test_temporary_error_is_retried_with_same_key(calling: Calling, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    trouble = (
        problem(429, "too_many_jobs"),
        problem(503, "queue_unavailable"),
        problem(409, "idempotency_in_progress"),
    )
    for source in (path, PNG, io.BytesIO(PNG)):
        with loopback(in_turn(*trouble, telling(JOB))) as server:
            assert calling(server.url("")).submit(source).id == "job_1"
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
        assert len(server.requests) == 4 and all(PNG in request.body for request in server.requests)
    with loopback(in_turn(broken, telling(JOB))) as server:
        assert calling(server.url("")).submit(PNG, idempotency_key="mine").id == "job_1"
    assert [request.headers["idempotency-key"] for request in server.requests] == ["mine", "mine"]


def test_submit_with_same_idempotency_key_creates_one_job(gateway: Gateway, calling: Calling) -> None:
    client = calling(address(gateway))
    first, second = (client.submit(PNG, idempotency_key="mine") for _ in range(2))
    assert first.id == second.id and gateway.job_store.queue_length() == 1
    with pytest.raises(IdempotencyError):
        client.submit(PNG + b"other", idempotency_key="mine")


def test_submit_twice_has_different_keys(calling: Calling) -> None:
    with loopback(telling(JOB)) as server:
        for _ in range(2):
            calling(server.url("")).submit(PNG)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(problem(429, "rate_limited"), TooManyRequests), (problem(503, "queue_unavailable"), Unavailable),
     (broken, ConnectionFailed), (lambda handler: handler.reply(502, b"<html>"), AffectError)],
)  # fmt: skip
def test_permanent_error_raises_after_retries(calling: Calling, answer: Answer, kind: type[AffectError]) -> None:
    with loopback(answer) as server, pytest.raises(kind):
        calling(server.url("")).get("job_1")
    assert len(server.requests) == 4


def test_retries_wait_as_retry_after_says() -> None:
    asked: list[float] = []

    class Watched(Retries):
        def seconds(self, tried: int, response: Any = None) -> float:
            asked.append(super().seconds(tried, response))
            return 0.0

    def busy(handler: Handler) -> None:
        handler.reply(429, b"{}", Retry_After="7")

    with loopback(in_turn(busy, busy, telling(JOB))) as server, Client(server.url(""), retries=Watched()) as client:
        client.get("job_1")
    assert asked == [7.0, 7.0]
    doubling = [Retries(pause=1).seconds(tried) for tried in range(4)]
    assert all(0.8 <= pause / 2**tried <= 1.2 for tried, pause in enumerate(doubling))


def event(number: int, status: str, progress: float) -> bytes:
    data = json.dumps({"status": status, "stage": "decode", "progress": progress})
    return f": keep-alive\n\nid: {number}-0\ndata: {data}\n\n".encode()


def streaming(*pieces: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()

    return answer


def test_events_resume_after_broken_connection(calling: Calling) -> None:
    first, rest = event(1, "queued", 0), event(2, "running", 0.5)
    answers = [
        streaming(b"retry: 2000\n\n", first + rest[:20]),
        broken,
        streaming(rest, event(3, "succeeded", 1) + b"x"),
    ]
    with loopback(in_turn(*answers)) as server:
        seen = calling(server.url("")).events("job_1")
    assert [(each.id, each.status, each.progress) for each in seen] == [
        ("1-0", "queued", 0), ("2-0", "running", 0.5), ("3-0", "succeeded", 1),
    ]  # fmt: skip
    asked = [request.headers.get("last-event-id") for request in server.requests]
    assert asked == [None, "1-0", "1-0"]


def test_events_after_final_event_are_empty(calling: Calling) -> None:
    with loopback(lambda handler: handler.reply(204)) as server:
        assert calling(server.url("")).events("job_1", "9-0") == []


def test_events_stopped_early_close_the_stream() -> None:
    with loopback(streaming(event(1, "running", 0), event(2, "running", 0.5))) as server:
        with Client(server.url(""), retries=QUICK) as client:
            for change in client.events("job_1"):
                assert change.progress == 0
                break

        async def listen() -> None:
            async with AsyncClient(server.url(""), retries=QUICK) as client:
                async for change in client.events("job_1"):
                    assert change.progress == 0
                    break

        asyncio.run(listen())
    assert len(server.requests) == 2


def test_download_writes_complete_file_or_none(calling: Calling, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000

    def half(handler: Handler) -> None:
        start = int((handler.headers.get("range") or "bytes=0-")[6:-1])
        end = len(content) if len(server.requests) > 1 else 100_000
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:end])

    with loopback(half) as server:
        client = calling(server.url(""))
        assert client.download_artifact("job_1", "a b.mp4", tmp_path / "a.mp4") == len(content)
        assert (tmp_path / "a.mp4").read_bytes() == content
        assert server.requests[0].path == "/v1/jobs/job_1/artifacts/a%20b.mp4"
        assert client.download_media("job_1", tmp_path / "m.mp4") == len(content)
    assert server.requests[-1].path == "/v1/jobs/job_1/media"
    with loopback(problem(404, "artifact_not_found")) as server, pytest.raises(NotFound):
        calling(server.url("")).download_media("job_1", tmp_path / "none.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "m.mp4"]


def test_artifacts_lists_files(calling: Calling) -> None:
    made = {
        "name": "annotated.mp4",
        "media_type": "video/mp4",
        "size": 3,
        "link": "/v1/jobs/job_1/artifacts/annotated.mp4",
    }
    with loopback(telling({"artifacts": [made]})) as server:
        (artifact,) = calling(server.url("")).artifacts("job_1")
    assert (artifact.name, artifact.size) == ("annotated.mp4", 3)


def test_clients_have_same_methods() -> None:
    def offered(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(method).parameters) for name, method in methods if name[0] != "_"}

    assert offered(Client) == offered(AsyncClient)


def test_result_has_fields_of_service() -> None:
    def shape(kind: type[BaseModel]) -> dict[str, Any]:
        schema = kind.model_json_schema(by_alias=True)
        return {name: sorted(each.get("properties", {})) for name, each in schema["$defs"].items()} | {
            "": sorted(schema["properties"])
        }

    assert shape(app.client.Result) == shape(ml.results.Result)


def test_unknown_field_can_be_read(calling: Calling) -> None:
    with loopback(telling({**JOB, "mood": "new"})) as server:
        job = calling(server.url("")).get("job_1")
    assert job.model_extra == {"mood": "new"} and job.mood == "new"


def test_client_installed_alone_imports_nothing_of_service(tmp_path: Path) -> None:
    about = tomllib.loads((ROOT / "app" / "client" / "pyproject.toml").read_text())
    assert about["tool"]["setuptools"]["package-dir"] == {"affect_client": "."}
    shutil.copytree(ROOT / "app" / "client", tmp_path / "affect_client")
    code = "import sys, affect_client; print(affect_client.Client.__module__, {'app', 'ml'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "affect_client.client set()"

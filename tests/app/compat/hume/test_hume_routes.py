"""The Hume-compatible calls of a gateway: keys, errors, ownership, erasure. A test does the work of the worker."""

import io
import json
import zipfile
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.app.calls import KEYS
from tests.app.conftest import PNG, Gateway, OpenGateway
from tests.ml.reports.made_results import video
from workers.protocol.records import Failure

RESULT = video().result.model_dump_json().encode()
JOBS = "/v0/batch/jobs"


def key(secret: str) -> dict[str, str]:
    return {"X-Hume-Api-Key": secret}


def upload(gateway: Gateway, *files: tuple[str, bytes], **fields: Any) -> str:
    answer = gateway.client.post(
        JOBS, files=[("file", file) for file in files], data={"json": json.dumps(fields)} if fields else {}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def refused(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json" and answer.json()["status"] == status
    return str(answer.json()["message"])


def state(gateway: Gateway, job_id: str) -> dict[str, Any]:
    return dict(gateway.client.get(f"{JOBS}/{job_id}").json()["state"])


def test_job_goes_from_queued_to_predictions(gateway: Gateway) -> None:
    job_id = upload(gateway, ("a.png", PNG), ("b.png", PNG), models={"face": {}})
    assert state(gateway, job_id)["status"] == "QUEUED"
    refused(gateway.client.get(f"{JOBS}/{job_id}/predictions"), 409, "job_unfinished")
    gateway.succeed(RESULT)
    assert state(gateway, job_id)["status"] == "IN_PROGRESS"
    gateway.fail(Failure(code="media_invalid", message="Nothing could be decoded."))
    ended = state(gateway, job_id)
    assert (ended["status"], ended["num_predictions"], ended["num_errors"]) == ("COMPLETED", 1, 1)
    first, second = gateway.client.get(f"{JOBS}/{job_id}/predictions").json()
    assert first["results"]["predictions"][0]["models"]["face"]["grouped_predictions"][0]["id"] == "unknown"
    assert second["error"] == "Nothing could be decoded." and second["source"]["filename"] == "b.png"
    archive = zipfile.ZipFile(io.BytesIO(gateway.client.get(f"{JOBS}/{job_id}/artifacts").content))
    assert archive.namelist() == ["001-a.png/csv/face.csv"]


def test_job_whose_files_all_fail_has_failed(gateway: Gateway) -> None:
    job_id = upload(gateway, ("a.png", PNG))
    gateway.fail(Failure(code="media_invalid", message="Nothing could be decoded."))
    assert (state(gateway, job_id)["status"], state(gateway, job_id)["message"]) == (
        "FAILED",
        "Nothing could be decoded.",
    )
    assert gateway.client.get(f"{JOBS}/{job_id}/predictions").json()[0]["results"]["predictions"] == []


def test_keys_are_checked_only_if_some_are_set(gateway: Gateway, open_gateway: OpenGateway) -> None:
    assert gateway.client.get(JOBS, headers=key("anything")).json() == []
    guarded = open_gateway(api_keys=KEYS)
    assert "key" in refused(guarded.client.get(JOBS, headers=key("wrong")), 401, "unauthorized")
    refused(guarded.client.get(JOBS), 401, "unauthorized")
    made = guarded.client.post(JOBS, headers=key("new"), json={"text": ["Hello."]}).json()["job_id"]
    assert [job["job_id"] for job in guarded.client.get(JOBS, headers=key("old")).json()] == [made]
    refused(guarded.client.get(f"{JOBS}/{made}", headers=key("bobs")), 404, "job_not_found")
    address = f"{str(guarded.client.base_url).replace('http', 'ws')}/v0/stream/models"
    with pytest.raises(InvalidStatus) as denied:
        connect(address, additional_headers=key("wrong"))
    assert denied.value.response.status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "code", "name"),
    [
        ({"models": {"facemesh": {}}, "text": ["a"]}, 400, "E0101", "facemesh"),
        ({"models": {"face": {}}, "text": ["a"]}, 400, "E0101", "models.language"),
        ({}, 400, "E0101", "nothing"),
        ({"urls": ["http://10.0.0.1/a.png"]}, 403, "forbidden_url", "address"),
        ({"text": ["word"] * 101}, 400, "E0101", "100"),
        ({"text": ["a"], "callback_url": "https://example.com/"}, 400, "E0101", "signed"),
        ({"text": ["a"], "transcription": {"language": "Klingonish"}}, 400, "E0101", "language"),
    ],
)
def test_requests_that_cannot_be_fulfilled_leave_nothing(
    gateway: Gateway, body: dict[str, Any], status: int, code: str, name: str
) -> None:
    assert name in refused(gateway.client.post(JOBS, json=body), status, code)
    assert gateway.stored() == [] and gateway.client.get(JOBS).json() == []


def zipped(*files: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


def test_archive_becomes_jobs_and_is_not_kept(gateway: Gateway) -> None:
    inner = zipped(("x.png", PNG))
    files = [("one.png", PNG), ("two.png", PNG), ("inner.zip", inner), ("empty.png", b""), ("words.txt", b"Hello.")]
    job_id = upload(gateway, ("set.zip", zipped(*files)))
    assert len({path.parts[-2] if path.name.endswith("json") else path.parts[-3] for path in gateway.stored()}) == 3
    for _ in range(3):
        gateway.succeed(RESULT)
    [source] = gateway.client.get(f"{JOBS}/{job_id}/predictions").json()
    assert [read["file"] for read in source["results"]["predictions"]] == ["one.png", "two.png", "words.txt"]
    assert [error["file"] for error in source["results"]["errors"]] == ["inner.zip", "empty.png"]


@pytest.mark.parametrize("archive", [zipped(("../a.png", PNG)), zipped(("a.md", b"# a")), b"PK\x03\x04damaged"])
def test_hostile_archive_leaves_nothing(gateway: Gateway, archive: bytes) -> None:
    answer = gateway.client.post(JOBS, files={"file": ("a.zip", archive)})
    refused(answer, 400, "E0101")
    assert gateway.stored() == []


def test_archives_of_one_job_share_its_limits(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_batch_items=3, max_upload_bytes=4096)
    archive = zipped(("one.png", PNG), ("two.png", PNG))
    answer = gateway.client.post(JOBS, files=[("file", ("a.zip", archive)), ("file", ("b.zip", archive))])
    assert "files" in refused(answer, 400, "E0101")
    large = zipped(("one.png", PNG + bytes(3000)))
    answer = gateway.client.post(JOBS, files=[("file", ("a.zip", large)), ("file", ("b.zip", large))])
    refused(answer, 413, "file_too_large")
    assert gateway.stored() == []


def test_media_that_are_none_are_refused(gateway: Gateway) -> None:
    refused(gateway.client.post(JOBS, files={"file": ("a.exe", b"MZ\0\0")}), 415, "E0200")
    refused(gateway.client.post(JOBS, content=b"x", headers={"content-type": "text/plain"}), 400, "E0101")
    refused(gateway.client.get(JOBS, params={"status": "DONE"}), 400, "E0101")


def test_deleting_the_first_job_erases_the_batch(gateway: Gateway) -> None:
    job_id = upload(gateway, ("private-name.png", PNG), models={"face": {}})
    assert any(b"private-name" in path.read_bytes() for path in gateway.stored())
    assert gateway.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    refused(gateway.client.get(f"{JOBS}/{job_id}"), 404, "job_not_found")
    assert gateway.stored() == [] and gateway.client.get(JOBS).json() == []


def test_jobs_of_v1_are_no_batches(gateway: Gateway) -> None:
    refused(gateway.client.get(f"{JOBS}/{gateway.made()}"), 404, "job_not_found")
    refused(gateway.client.get(f"{JOBS}/{gateway.made(tag='hume')}"), 404, "job_not_found")
    assert gateway.client.get(JOBS).json() == []


def test_jobs_are_filtered_and_sorted(gateway: Gateway) -> None:
    first = upload(gateway, ("a.png", PNG))
    gateway.succeed(RESULT)
    second = upload(gateway, ("b.png", PNG))

    def listed(**query: Any) -> list[str]:
        return [job["job_id"] for job in gateway.client.get(JOBS, params=query).json()]

    assert listed() == [second, first] == listed(limit=2)
    assert listed(direction="asc") == [first, second] and listed(limit=1) == [second]
    assert listed(status="COMPLETED") == [first] and listed(status=["QUEUED", "FAILED"]) == [second]
    created = gateway.client.get(f"{JOBS}/{second}").json()["state"]["created_timestamp_ms"]
    assert listed(when="created_before", timestamp_ms=created) in ([first], [])
    assert second in listed(when="created_after", timestamp_ms=created)


def test_stream_answers_errors_and_goes_on(gateway: Gateway) -> None:
    address = f"{str(gateway.client.base_url).replace('http', 'ws')}/v0/stream/models"
    with connect(address, additional_headers=key("any")) as socket:
        for message, code in (
            ("{", "E0100"),
            ("[]", "E0101"),
            ("{}", "E0101"),
            ('{"data": "aGk="}', "E0101"),
            ('{"data": "a", "models": {"face": {}}}', "E0201"),
            ('{"data": "aGk=", "models": {"face": {}}}', "E0200"),
            ('{"data": "hi", "raw_text": true, "models": {"face": {}}}', "E0101"),
            ('{"data": "hi", "raw_text": true, "models": {"language": {"toxicity": {}}}}', "E0101"),
        ):
            socket.send(message)
            assert json.loads(socket.recv(5))["code"] == code
        socket.send('{"job_details": true, "payload_id": "x"}')
        answer = json.loads(socket.recv(5))
        assert answer["payload_id"] == "x" and answer["job_details"]["job_id"]
    assert gateway.stored() == []

"""`PATCH /v1/jobs/{id}` over real HTTP, job store and blobs: tags, and the people of a result."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import Gateway, OpenGateway
from tests.ml.reports.made_results import interview
from workers.protocol.blob_keys import result_key
from workers.protocol.records import Failure

RESULT = interview().result.model_dump_json().encode()


@pytest.fixture
def job_id(gateway: Gateway) -> str:
    """The id of a job whose result has three people."""
    gateway.made(name="interview.mp4", tag=["old"])
    return gateway.succeed(RESULT)


def change(gateway: Gateway, job_id: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    return gateway.client.patch(f"/v1/jobs/{job_id}", json=body, headers=headers)


def result(gateway: Gateway, job_id: str, **params: Any) -> httpx.Response:
    answer = gateway.client.get(f"/v1/jobs/{job_id}/result", params=params)
    assert answer.status_code == 200, answer.text
    return answer


def people(gateway: Gateway, job_id: str) -> list[tuple[int, str | None]]:
    return [(each["person"], each["name"]) for each in result(gateway, job_id).json()["people"]]


def test_names_as_object_and_as_text_are_in_result_and_exports(gateway: Gateway, job_id: str) -> None:
    answer = change(gateway, job_id, people={"1": {"name": "Ann"}, "3": "  Off\nscreen "})
    assert answer.status_code == 200 and answer.json()["id"] == job_id
    assert people(gateway, job_id) == [(1, "Ann"), (2, None), (3, "Off screen")]
    assert "<v Ann>" in result(gateway, job_id, format="vtt").text
    assert "Off_screen" in result(gateway, job_id, format="rttm").text
    change(gateway, job_id, people={"1": None, "3": ""})
    assert people(gateway, job_id) == [(1, None), (2, None), (3, None)]


def test_merge_and_split_change_result_and_can_be_restored(gateway: Gateway, job_id: str) -> None:
    assert change(gateway, job_id, merge=[[1, 3]], split=[2], people={"4": "Bob"}).status_code == 200
    assert people(gateway, job_id) == [(1, "Interviewer"), (2, None), (4, "Bob")]
    assert change(gateway, job_id, merge=[[1, 3]], split=[2]).status_code == 200  # sent twice
    assert people(gateway, job_id) == [(1, "Interviewer"), (2, None), (4, "Bob")]
    assert change(gateway, job_id, people=None).status_code == 200
    assert result(gateway, job_id).content == RESULT
    assert change(gateway, job_id, merge=[[2, 3]]).status_code == 200
    assert people(gateway, job_id) == [(1, "Interviewer"), (2, None)]


def test_tags_replace_those_of_the_request(gateway: Gateway, job_id: str) -> None:
    assert change(gateway, job_id, tags=[" new ", "other"]).json()["tags"] == ["new", "other"]
    assert gateway.client.get(f"/v1/jobs/{job_id}").json()["tags"] == ["new", "other"]
    listed = {tag: gateway.client.get("/v1/jobs", params={"tag": tag}).json()["jobs"] for tag in ("old", "new")}
    assert not listed["old"] and [job["id"] for job in listed["new"]] == [job_id]
    change(gateway, job_id, people={"1": "Ann"})
    assert gateway.client.get(f"/v1/jobs/{job_id}").json()["tags"] == ["new", "other"]


def test_tags_can_change_before_the_result_exists(gateway: Gateway) -> None:
    job_id = gateway.made()
    assert change(gateway, job_id, tags=["early"]).json()["tags"] == ["early"]
    problem(change(gateway, job_id, people={"1": "Ann"}), 409, "job_unfinished")
    assert gateway.succeed(RESULT) == job_id
    assert change(gateway, job_id, people={"1": "Ann"}).json()["tags"] == ["early"]


def test_people_of_failed_job_is_its_problem(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.fail(Failure(code="media_invalid", message="Broken."))
    problem_of = change(gateway, job_id, people={"1": "Ann"})
    assert (problem_of.status_code, problem_of.json()["code"]) == (422, "media_invalid")


@pytest.mark.parametrize(
    "body",
    [
        {"merge": [[1, 9]]},
        {"merge": [[1]]},
        {"merge": [1, 3]},
        {"split": [9]},
        {"people": {"9": "Ann"}},
        {"people": {"0": "Ann"}},
        {"people": {"x": "Ann"}},
        {"people": {"1": "a" * 101}},
        {"people": {"1": {"title": "Ann"}}},
        {"people": ["Ann"]},
        {"tags": [" "]},
        {"tags": ["a" * 65]},
        {"tags": ["a"] * 17},
        {"name": "Ann"},
    ],
)
def test_invalid_change_is_rejected_and_changes_nothing(gateway: Gateway, job_id: str, body: dict[str, Any]) -> None:
    files = set(gateway.stored())
    problem(change(gateway, job_id, **body), 400, "validation_failed")
    assert result(gateway, job_id).content == RESULT and set(gateway.stored()) == files


def test_if_match_of_an_older_result_fails(gateway: Gateway, job_id: str) -> None:
    first = result(gateway, job_id).headers["etag"]
    answer = change(gateway, job_id, {"If-Match": f'"x", {first}'}, people={"1": "Ann"})
    assert answer.status_code == 200
    assert answer.headers["etag"] == result(gateway, job_id).headers["etag"] != first
    for stale in (first, f"W/{answer.headers['etag']}", "no tag"):
        problem(change(gateway, job_id, {"If-Match": stale}, people={"1": "Bob"}), 412, "precondition_failed")
    assert change(gateway, job_id, {"If-Match": "*"}, people={"2": "Bob"}).status_code == 200
    assert people(gateway, job_id) == [(1, "Ann"), (2, "Bob"), (3, None)]


def test_changes_at_once_are_all_made(gateway: Gateway, job_id: str) -> None:
    bodies: list[dict[str, Any]] = [{"people": {str(number): f"P{number}"}} for number in (1, 2, 3)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: change(gateway, job_id, **body), [*bodies, {"tags": ["t"]}]))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert people(gateway, job_id) == [(1, "P1"), (2, "P2"), (3, "P3")]
    assert gateway.client.get(f"/v1/jobs/{job_id}").json()["tags"] == ["t"]
    names = sorted(path.name.split("-")[0] for path in gateway.stored() if "-" in path.name)
    assert names == ["changes", "result", "result", "summary"]  # the result of the analysis, and the current files


def test_list_counts_the_people_after_a_merge(gateway: Gateway, job_id: str) -> None:
    change(gateway, job_id, merge=[[1, 2]])
    (job,) = gateway.client.get("/v1/jobs").json()["jobs"]
    assert job["summary"]["people"] == 2
    change(gateway, job_id, tags=["new"])
    assert gateway.client.get(f"/v1/jobs/{job_id}").json()["summary"]["people"] == 2
    assert people(gateway, job_id) == [(1, "Interviewer"), (3, None)]


def test_empty_change_writes_nothing(gateway: Gateway, job_id: str) -> None:
    files = gateway.stored()
    assert change(gateway, job_id).status_code == 200 and gateway.stored() == files


def test_change_of_another_owner_is_not_found(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(headers=bearer("new"), api_keys=KEYS)
    gateway.made()
    job_id = gateway.succeed(RESULT)
    problem(change(gateway, job_id, bearer("bobs"), people={"1": "Ann"}), 404, "job_not_found")
    problem(change(gateway, job_id, bearer("bad"), people={"1": "Ann"}), 401, "unauthorized")


def test_names_are_in_blobs_alone_and_go_with_the_job(gateway: Gateway, job_id: str) -> None:
    change(gateway, job_id, people={"1": "Zacharias"}, tags=["ward-7"])
    change(gateway, job_id, people={"2": "Wilhelmina"})
    redis = gateway.job_store._redis
    kept = [key + (redis.dump(key) or b"") for key in redis.scan_iter("*")]
    assert not any(name in each for each in kept for name in (b"Zacharias", b"Wilhelmina", b"ward-7"))
    assert any(b"Zacharias" in path.read_bytes() for path in gateway.stored())
    assert gateway.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert gateway.stored() == []


def test_lost_result_is_expired(gateway: Gateway, job_id: str) -> None:
    record = gateway.job_store.get(job_id)
    assert record is not None
    gateway.blobs.delete(result_key(job_id, record.token))
    problem(change(gateway, job_id, people={"1": "Ann"}), 410, "job_expired")


def test_export_of_one_person(gateway: Gateway, job_id: str) -> None:
    answer = result(gateway, job_id, format="csv", person=2)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["person"], row["emotion"]) for row in rows] == [("2", "neutral"), ("2", "sad")]
    assert 'filename="interview.person-2.csv"' in answer.headers["content-disposition"]
    document = result(gateway, job_id, person=2)
    assert [each["person"] for each in document.json()["people"]] == [2] and "etag" not in document.headers
    unknown = gateway.client.get(f"/v1/jobs/{job_id}/result", params={"person": 9})
    problem(unknown, 400, "validation_failed")

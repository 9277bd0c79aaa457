"""Ratings over HTTP: storing, replacing, importing, deleting, agreement."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from app.client import Client
from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import Gateway, OpenGateway
from tests.ml.reports.made_results import video

RESULT = video().result.model_dump_json().encode()
HAPPY = {"target": "window", "start": 0, "end": 4, "emotion": "happy"}


@pytest.fixture
def job(gateway: Gateway) -> str:
    gateway.made()
    return f"/v1/jobs/{gateway.succeed(RESULT)}"


def rate(gateway: Gateway, job: str, rater: str, *ratings: dict[str, Any]) -> httpx.Response:
    return gateway.client.post(f"{job}/ratings", json={"rater": rater, "ratings": ratings})


def send(gateway: Gateway, job: str, content: bytes, **fields: Any) -> httpx.Response:
    return gateway.client.post(f"{job}/ratings", files={"file": ("a.csv", content)}, data=fields)


def listed(gateway: Gateway, job: str, **query: str) -> list[dict[str, Any]]:
    return list(gateway.client.get(f"{job}/ratings", params=query).json()["ratings"])


def test_corrections_stand_beside_the_result(gateway: Gateway, job: str) -> None:
    before = gateway.client.get(f"{job}/result").content
    answer = rate(gateway, job, " Ann ", HAPPY, {"target": "moment", "start": 2, "comment": "She looks up."})
    assert answer.status_code == 201 and [each["rater"] for each in answer.json()["ratings"]] == ["Ann", "Ann"]
    again = rate(gateway, job, "Ann", HAPPY | {"emotion": "sad"})
    assert again.json()["replaced"] == 1
    assert [each["emotion"] for each in listed(gateway, job)] == ["sad", None]
    rate(gateway, job, "Ben", HAPPY)
    answer = gateway.client.get(f"{job}/ratings", params={"rater": "Ben"}).json()
    assert len(answer["ratings"]) == 1 and answer["raters"] == [
        {"name": "Ann", "ratings": 2},
        {"name": "Ben", "ratings": 1},
    ]
    assert gateway.client.get(f"{job}/result").content == before


def test_file_is_imported_with_what_was_left_out(gateway: Gateway, job: str) -> None:
    table = b"start,end,emotion,rater\n0,2,joy,Ann\n2,4,sad,Ben\n4,6,bored,Ben\n"
    receipt = send(gateway, job, table).json()
    assert [(each["rater"], each["emotion"]) for each in receipt["ratings"]] == [("Ann", "happy"), ("Ben", "sad")]
    assert receipt["skipped"] == {"no emotion: 'bored'": 1}
    assert send(gateway, job, table, rater="Cem", person="2").json()["ratings"][0]["person"] == 2
    own = gateway.client.get(f"{job}/result", params={"format": "eaf"}).content
    assert send(gateway, job, own, rater="Dora", tier="combined").json()["ratings"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"start,end,emotion\n0,1,bored\n", 400, "validation_failed"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><ANNOTATION_DOCUMENT/>", 400, "validation_failed"),
        (b"hello", 415, "unsupported_ratings"),
        (b"", 422, "media_invalid"),
        (b"start,end,emotion\n" + bytes(9 << 20), 413, "file_too_large"),
    ],
)
def test_files_that_are_no_ratings_are_refused(
    gateway: Gateway, job: str, content: bytes, status: int, code: str
) -> None:
    problem(send(gateway, job, content), status, code)
    assert listed(gateway, job) == []


def test_requests_that_are_invalid_are_refused(gateway: Gateway, job: str) -> None:
    for rater, ratings in (
        ("", [HAPPY]),
        ("model", [HAPPY]),
        ("Ann", []),
        ("Ann", [HAPPY | {"emotion": None}]),
        ("Ann", [HAPPY | {"end": -1}]),
        ("Ann", [HAPPY | {"mood": 1}]),
    ):
        problem(rate(gateway, job, rater, *ratings), 400, "validation_failed")
    table = b"start,end,emotion\n0,1,happy\n"
    problem(send(gateway, job, table, person="x"), 400, "validation_failed")
    problem(send(gateway, job, table, rater="\0"), 400, "validation_failed")
    problem(gateway.client.post(f"{job}/ratings", data={"rater": "x"}, files={"a": b""}), 400, "validation_failed")
    problem(gateway.client.post("/v1/jobs/none/ratings", json={"rater": "A", "ratings": [HAPPY]}), 404, "job_not_found")
    problem(gateway.client.get(f"/v1/jobs/{gateway.made()}/agreement"), 409, "job_unfinished")


def test_ratings_are_deleted_one_by_one_by_rater_and_with_the_job(gateway: Gateway, job: str) -> None:
    first, _ = rate(gateway, job, "Private Name", HAPPY, HAPPY | {"start": 2}).json()["ratings"]
    rate(gateway, job, "Ben", HAPPY)
    assert gateway.client.delete(f"{job}/ratings", params={"rating": first["id"]}).status_code == 204
    assert len(listed(gateway, job)) == 2
    gateway.client.delete(f"{job}/ratings", params={"rater": "Private Name"})
    assert [each["rater"] for each in listed(gateway, job)] == ["Ben"]
    assert not any(b"Private Name" in path.read_bytes() for path in gateway.stored())
    gateway.client.delete(f"{job}/ratings")
    assert listed(gateway, job) == []
    rate(gateway, job, "Private Name", HAPPY)
    gateway.client.delete(job)
    assert gateway.stored() == []


def test_ratings_at_the_same_time_are_all_kept(gateway: Gateway, job: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: rate(gateway, job, f"rater {number}", HAPPY), range(12)))
    assert [answer.status_code for answer in answers] == [201] * 12 and len(listed(gateway, job)) == 12


def test_ratings_have_limits(gateway: Gateway, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.ratings.MAX_RATERS", 1)
    assert rate(gateway, job, "Ann", HAPPY).status_code == 201
    problem(rate(gateway, job, "Ben", HAPPY), 400, "validation_failed")
    monkeypatch.setattr("app.services.ratings.MAX_RATINGS", 1)
    problem(rate(gateway, job, "Ann", HAPPY | {"start": 1}), 400, "validation_failed")


def test_agreement_is_between_raters_and_with_the_model(gateway: Gateway, job: str) -> None:
    rate(gateway, job, "Ann", HAPPY)
    rate(gateway, job, "Ben", HAPPY | {"emotion": "sad"})
    report = gateway.client.get(f"{job}/agreement", params={"step": 0.5}).json()
    assert report["raters"] == ["Ann", "Ben"] and report["step"] == 0.5
    assert report["overall"]["pairs"][0]["agreement"] == 0
    assert [(each["first"], each["second"]) for each in report["overall"]["model"]] == [
        ("Ann", "model"),
        ("Ben", "model"),
        ("majority", "model"),
    ]
    problem(gateway.client.get(f"{job}/agreement", params={"step": 0}), 400, "validation_failed")


def test_client_rates_imports_compares_and_deletes(gateway: Gateway, job: str) -> None:
    job_id = job.rpartition("/")[2]
    with Client(str(gateway.client.base_url)) as affect:
        [given] = affect.rate(job_id, "Ann", [HAPPY]).ratings
        receipt = affect.import_ratings(job_id, b"start,end,emotion\n0,4,sad\n", rater="Ben", person=1)
        assert (given.emotion, receipt.ratings[0].rater, receipt.ratings[0].person) == ("happy", "Ben", 1)
        assert [each.name for each in affect.ratings(job_id, rater="Ann").raters] == ["Ann", "Ben"]
        assert affect.agreement(job_id, step=2).overall.model[0].agreement == 1
        affect.delete_ratings(job_id, rating=given.id)
        affect.delete_ratings(job_id, rater="Ben")
        assert affect.ratings(job_id).ratings == ()


def test_ratings_belong_to_the_owner_of_the_job(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(headers=bearer("new"), api_keys=KEYS)
    gateway.made()
    job = f"/v1/jobs/{gateway.succeed(RESULT)}"
    rate(gateway, job, "Ann", HAPPY)
    for method, path in (("GET", "ratings"), ("DELETE", "ratings"), ("GET", "agreement")):
        problem(gateway.client.request(method, f"{job}/{path}", headers=bearer("bobs")), 404, "job_not_found")
    assert len(listed(gateway, job)) == 1

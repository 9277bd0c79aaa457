"""Results of several jobs in one download."""

import csv
import io
import zipfile

import pytest

from tests.app.conftest import Gateway
from tests.ml.reports.made_results import result, window


def succeeded(gateway: Gateway, name: str, emotion: str) -> str:
    job_id = gateway.post(name=name).json()["id"]
    document = result([window(0, 4, emotion), window(2, 6, emotion)]).model_dump_json()
    assert gateway.succeed(document.encode()) == job_id
    return str(job_id)


@pytest.fixture
def two(gateway: Gateway) -> list[str]:
    return [succeeded(gateway, "first.png", "happy"), succeeded(gateway, "second.png", "sad")]


def test_exports_csv_is_one_table_that_names_files(gateway: Gateway, two: list[str]) -> None:
    answer = gateway.client.get("/v1/exports", params={"job": two})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="results.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["file"], row["emotion"]) for row in rows] == [("first.png", "happy")] * 2 + [("second.png", "sad")] * 2


def test_exports_other_formats_are_an_archive(gateway: Gateway, two: list[str]) -> None:
    answer = gateway.client.get("/v1/exports", params={"job": [*two, two[0]], "format": "vtt"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["first.vtt", "second.vtt"]
        assert archive.read("second.vtt").startswith(b"WEBVTT")


def test_exports_archive_gives_equal_names_a_number(gateway: Gateway) -> None:
    ids = [succeeded(gateway, "a.png", "happy"), succeeded(gateway, "A.png", "sad")]
    answer = gateway.client.get("/v1/exports", params={"job": ids, "archive": True, "rows": "words"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["a.words.csv", "A (2).words.csv"]


def test_exports_without_a_result_are_refused_whole(gateway: Gateway, two: list[str]) -> None:
    unfinished = gateway.made()
    answer = gateway.client.get("/v1/exports", params={"job": [*two, unfinished]})
    assert (answer.status_code, answer.json()["code"]) == (409, "job_unfinished")
    answer = gateway.client.get("/v1/exports", params={"job": [*two, "job_unknown"], "format": "srt"})
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("query", [{}, {"job": ["x"] * 101}, {"job": ["x"], "format": "srt", "rows": "words"}])
def test_exports_invalid_query_is_refused(gateway: Gateway, query: dict[str, object]) -> None:
    answer = gateway.client.get("/v1/exports", params=query)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")

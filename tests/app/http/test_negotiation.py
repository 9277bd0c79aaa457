"""The result in each format over HTTP."""

import csv
import re
from io import StringIO
from urllib.parse import unquote
from xml.etree import ElementTree

import httpx
import pytest
import webvtt

from app.errors import ValidationFailed
from app.http.negotiation import Export
from ml.reports.formats import FORMATS, Rows
from tests.app.calls import problem
from tests.app.conftest import Gateway
from tests.ml.reports.made_results import video


def done(gateway: Gateway, name: str = "party.mp4") -> str:
    """The id of a job that ended with the video's result."""
    answer = gateway.post(name=name)
    assert answer.status_code == 202, answer.text
    gateway.succeed(video().result.model_dump_json().encode())
    return str(answer.json()["id"])


def fetch(gateway: Gateway, job_id: str, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    return gateway.client.get(f"/v1/jobs/{job_id}/result", params=query, headers=headers)


@pytest.mark.parametrize("name", FORMATS)
def test_result_format_has_content_type_and_file_name(gateway: Gateway, name: str) -> None:
    answer = fetch(gateway, done(gateway), format=name)
    assert answer.status_code == 200, answer.text
    known = FORMATS[name]  # type: ignore[index]
    assert answer.headers["content-type"] == f"{known.media_type}; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="party.{known.suffix}"'
    assert answer.text.strip() or name == "rttm"  # the result has no people who speak
    if name != "eaf":  # it bears its date
        assert answer.text == known.writers[known.default](video())


def test_result_formats_are_valid(gateway: Gateway) -> None:
    job_id = done(gateway)
    table = list(csv.DictReader(StringIO(fetch(gateway, job_id, format="csv").text)))
    assert [row["emotion"] for row in table] == ["happy", "happy", "", "angry"]
    assert {row["file"] for row in table} == {"party.mp4"}
    assert len(webvtt.from_string(fetch(gateway, job_id, format="vtt").text).captions) == 3
    document = ElementTree.fromstring(fetch(gateway, job_id, format="eaf").content)
    assert document.tag == "ANNOTATION_DOCUMENT"


def test_result_json_is_unchanged(gateway: Gateway) -> None:
    job_id = done(gateway)
    for answer in (fetch(gateway, job_id), fetch(gateway, job_id, format="json")):
        assert answer.content == video().result.model_dump_json().encode()
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-disposition"] == 'inline; filename="party.json"'
        assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("format", "rows", "file", "length"),
    [
        ("csv", "windows", "party.csv", 5),
        ("csv", "faces", "party.faces.csv", 4),
        ("csv", "moments", "party.moments.csv", 3),
        ("csv", "words", "party.words.csv", 3),
        ("vtt", "windows", "party.windows.vtt", None),
    ],
)
def test_result_rows_select_content(gateway: Gateway, format: str, rows: str, file: str, length: int | None) -> None:
    answer = fetch(gateway, done(gateway), format=format, rows=rows)
    assert answer.headers["content-disposition"] == f'attachment; filename="{file}"'
    assert length is None or len(answer.text.splitlines()) == length


@pytest.mark.parametrize(
    "query",
    [{"format": "xls"}, {"format": ""}, {"format": "csv", "rows": "cows"}, {"format": "csv", "rows": "speech"},
     {"format": "eaf", "rows": "faces"}, {"format": "json", "rows": "windows"}, {"rows": "faces"}],
)  # fmt: skip
def test_result_invalid_query_is_rejected(gateway: Gateway, query: dict[str, str]) -> None:
    told = problem(fetch(gateway, done(gateway), **query), 400, "validation_failed")
    assert told["errors"][0]["location"].removeprefix("query.") in ("format", "rows")


def test_result_format_takes_precedence_over_accept(gateway: Gateway) -> None:
    job_id = done(gateway)
    assert fetch(gateway, job_id, {"Accept": "text/vtt"}).text.startswith("WEBVTT")
    assert fetch(gateway, job_id, {"Accept": "text/vtt"}, format="txt").text.startswith("party.mp4")
    problem(fetch(gateway, job_id, {"Accept": "image/png"}), 400, "validation_failed")


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/*", "csv"),
        ("text/vtt, */*", "vtt"),
        ("application/json;q=0.5, text/x-eaf+xml", "eaf"),
        ("application/json;q=0.5, text/x-eaf+xml;q=0.4", "json"),
        ("*/*, application/json;q=0", "csv"),
        ("text/praat-textgrid", "textgrid"),
        ("application/x-subrip;q=1.000", "srt"),
        ("text/csv;q=9, text/plain;q=0.1", "txt"),
    ],
)
def test_negotiate_picks_format_with_highest_weight(accept: str | None, format: str) -> None:

    assert Export.negotiate(None, None, accept).format == format


@pytest.mark.parametrize("rows", ["windows", "words"])
def test_write_csv_with_byte_order_mark_has_the_same_table(rows: Rows) -> None:
    document = video().result.model_dump_json().encode()
    plain = Export.negotiate("csv", rows, None).write(document, "a.mp4")
    marked = Export.negotiate("csv", rows, None, bom=True).write(document, "a.mp4")
    assert marked == b"\xef\xbb\xbf" + plain
    subtitles = Export.negotiate("srt", None, None, bom=True).write(document, "a.mp4")
    assert not subtitles.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("accept", ["image/png", "nonsense", "text/csv;q=0", ";;,,", "text/csv;q=high"])
def test_negotiate_no_acceptable_format_is_rejected(accept: str) -> None:
    with pytest.raises(ValidationFailed):
        Export.negotiate(None, None, accept)


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a.b.mp4", "a.b.csv"),
        ("noending", "noending.csv"),
        ("../../etc/passwd", "passwd.csv"),
        ("..\\..\\x.wav", "x.csv"),
        ('a"; filename="evil.exe', "a; filename=evil.csv"),
        ("a\r\nSet-Cookie: x.mp4", "aSet-Cookie x.csv"),
        ("Größe 日本.mp4", "Größe 日本.csv"),
        (".mp4", "mp4.csv"),
        ("", "result.csv"),
        ("...", "result.csv"),
        ("\x00\u202e", "result.csv"),
        ("x" * 300 + ".mp4", "x" * 100 + ".csv"),
    ],
)
def test_disposition_name_is_safe(name: str, saved: str) -> None:
    header = Export("csv").disposition(name)
    assert header.isascii()
    assert header.isprintable()
    parts = re.fullmatch(r"attachment; filename=\"([\w .()-]+)\"(?:; filename\*=UTF-8''(\S+))?", header, re.ASCII)
    assert parts is not None
    assert unquote(parts[2] or parts[1]) == saved


def test_result_table_of_unfinished_job_is_conflict(gateway: Gateway) -> None:
    problem(fetch(gateway, gateway.made(), format="csv"), 409, "job_unfinished")


def test_openapi_lists_result_formats(gateway: Gateway) -> None:
    operation = gateway.client.get("/openapi.json").json()["paths"]["/v1/jobs/{job_id}/result"]["get"]
    assert {known.media_type for known in FORMATS.values()} < set(operation["responses"]["200"]["content"])
    assert "application/json" in operation["responses"]["200"]["content"]
    assert {"format", "rows"} <= {parameter["name"] for parameter in operation["parameters"]}

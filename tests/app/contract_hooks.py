"""What the OpenAPI document cannot say, for schemathesis: how media begin, and which rows a format has."""

import os
from collections.abc import Collection
from typing import Any, get_args

import schemathesis
from hypothesis import strategies as st
from pydantic import ValidationError

from app.services.ratings import RatingRequest
from app.services.results import MEDIA_TYPES
from ml.errors import AffectError
from ml.languages import find_language
from ml.reports.caption_parser import parse_transcript
from ml.reports.formats import FORMATS, Rows

_HEADS = {
    "aac": b"\xff\xf1\x50\x80",
    "aiff": b"FORM\0\0\0\0AIFF",
    "amr": b"#!AMR\n",
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "avi": b"RIFF\0\0\0\0AVI ",
    "avif": b"\0\0\0\x1cftypavif",
    "bmp": b"BM" + bytes(12) + b"\x28\0\0\0",
    "caf": b"caff\0\1",
    "flac": b"fLaC",
    "flv": b"FLV\1",
    "gif": b"GIF89a",
    "heif": b"\0\0\0\x1cftypheic",
    "jpeg": b"\xff\xd8\xff\xe0",
    "m4a": b"\0\0\0\x18ftypM4A ",
    "matroska": b"\x1a\x45\xdf\xa3",
    "mov": b"\0\0\0\x14ftypqt  ",
    "mp3": b"ID3\4",
    "mp4": b"\0\0\0\x18ftypmp42",
    "mpeg": b"\0\0\1\xba",
    "mpegts": (b"\x47\x40\x11\x10\xf0" + bytes(183)) * 5 + b"\x47",
    "ogg": b"OggS",
    "png": b"\x89PNG\r\n\x1a\n",
    "tiff": b"II*\0",
    "wav": b"RIFF\0\0\0\0WAVE",
    "webm": b"\x1a\x45\xdf\xa3\x42\x82\x84webm",
    "webp": b"RIFF\0\0\0\0WEBP",
}

for name, media_type in MEDIA_TYPES.items():
    schemathesis.openapi.media_type(media_type, st.binary(max_size=64).map(_HEADS[name].__add__))


EXAMPLE = "job_3J5k0zR8bT1mYwQe"
"""The document's: it stands for the job that the test has made."""
_used: set[str] = set()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Remove what the service refuses although the schema permits it: rows that the format lacks, made-up tickets, and
    people that the result lacks."""
    query = case.query or {}
    if query.get("rows") in list(get_args(Rows)) and query["rows"] not in _rows(query.get("format")):
        del query["rows"]
    if type(query.get("person")) is int and query["person"] > 0:
        del query["person"]
    if isinstance(query.get("ticket"), str) and len(query["ticket"]) <= 64:
        del query["ticket"]
    if case.method.upper() == "GET" and (case.path_parameters or {}).get("job_id") == EXAMPLE:
        case.path_parameters["job_id"] = os.environ["AFFECT_CONTRACT_JOB"]


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Return whether the service accepts what the schema permits.

    It refuses a hop longer than the window, fewer people at most than at least, blank tags, a reused idempotency key,
    unknown languages, unreadable transcripts, changes of people that the result lacks, and ratings whose parts
    contradict each other.
    """
    key = (case.headers or {}).get("idempotency-key")
    if isinstance(key, str):
        if key.strip('"') in _used:
            return False
        _used.add(key.strip('"'))
    body = case.body if isinstance(case.body, dict) else {}
    if case.path.endswith("/ratings") and case.method.upper() == "POST":
        return "file" not in body and _is_rating_request(body)
    changes_people = any(body.get(name) for name in ("people", "merge", "split"))
    if case.method.upper() == "PATCH" and ("if-match" in (case.headers or {}) or changes_people):
        return False  # the result has no people, and a version of its own
    options, tags = body.get("options"), body.get("tag", body.get("tags"))
    if not _is_transcript(body.get("transcript", "Hello.")):
        return False
    if isinstance(tags, list) and not all(isinstance(tag, str) and tag.strip() for tag in tags):
        return False
    if not isinstance(options, dict):
        return True
    language = options.get("language")
    if isinstance(language, str) and len(language) <= 64 and find_language(language) is None:
        return False
    least, most = options.get("min_people"), options.get("max_people")
    if type(least) is int and type(most) is int and least > most:
        return False
    hop, window = options.get("hop_seconds", 2.0), options.get("window_seconds", 4.0)
    return not all(type(each) in (int, float) for each in (hop, window)) or hop <= window


def _is_transcript(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_transcript(value, None)
    except AffectError:
        return False
    return True


def _is_rating_request(body: dict[str, Any]) -> bool:
    """Return whether the parts of each rating fit each other, which a schema cannot say; and the rater is no model."""
    try:
        request = RatingRequest.model_validate(body)
    except ValidationError:
        return False
    return request.rater.casefold() not in ("model", "majority")


def _rows(name: object) -> Collection[str]:
    return FORMATS[name].writers if isinstance(name, str) and name in FORMATS else ()  # type: ignore[index]

"""Stored bytes as an answer, whole or a range of them (RFC 9110, section 14): what a player needs to seek.

One range at most; of several, or of one that cannot be read, the whole is sent, as the RFC lets a server do.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.errors import Problem, problem_response

BLOCK_BYTES = 1 << 20
_RANGE = re.compile(r"\s*bytes\s*=\s*(?P<first>[0-9]{0,18})\s*-\s*(?P<last>[0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class RangeReadable:
    """Bytes that can be read in part. `read(start, end)` raises FileNotFoundError when they are gone. `tag` changes
    whenever the bytes do. `disposition`: the header that says how to show or save it."""

    read: Callable[[int, int], bytes]
    size: int
    tag: str
    media_type: str
    disposition: str


class RangeNotSatisfiable(Exception):
    """The file has no such bytes."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The bytes that a `Range` header asks for, from the first to before the last; null for the whole file. Raises
    OutOfRange."""
    match = _RANGE.fullmatch(header or "")
    first, last = match.group("first", "last") if match else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RangeNotSatisfiable
    return start, end


def range_response(request: Request, file: RangeReadable) -> Response:
    """200, or 206 or 416 where the request asks for a range and, by `If-Range`, for one of this very file."""
    etag = f'"{file.tag}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Disposition": file.disposition}
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = parse_range(asked, file.size)
    except RangeNotSatisfiable:
        problem = Problem.from_code("validation_failed", f"The file has {file.size} bytes.", status=416)
        return problem_response(request, problem, {"Content-Range": f"bytes */{file.size}"})
    start, end = part or (0, file.size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["Content-Length"] = str(end - start)
    body = _blocks(file, start, end)
    return StreamingResponse(body, status_code=206 if part else 200, headers=headers, media_type=file.media_type)


async def _blocks(file: RangeReadable, start: int, end: int) -> AsyncIterator[bytes]:
    for at in range(start, end, BLOCK_BYTES):
        yield await run_in_threadpool(file.read, at, min(at + BLOCK_BYTES, end))

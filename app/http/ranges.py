"""Responses with stored bytes, whole or one range of them (RFC 9110, section 14), as players need to seek.

If several ranges are requested, or the header is invalid, the whole is sent, as the RFC permits.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.errors import Problem, problem_response

BLOCK_BYTES = 1 << 20
"""Bytes per read from the store."""
_RANGE = re.compile(r"\s*bytes\s*=\s*(?P<first>[0-9]{0,18})\s*-\s*(?P<last>[0-9]{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class RangeReadable:
    """Stored bytes that can be read in part.

    `read(start, end)` raises FileNotFoundError if they were deleted. `tag` changes whenever the bytes change.
    `disposition` is the `Content-Disposition` header.
    """

    read: Callable[[int, int], bytes]
    size: int
    tag: str
    media_type: str
    disposition: str


class RangeNotSatisfiable(Exception):
    """The requested range is outside the stored bytes."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of the range that a `Range` header requests, None for the whole. Raises
    RangeNotSatisfiable."""
    match = _RANGE.fullmatch(header or "")
    first, last = match.group("first", "last") if match else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RangeNotSatisfiable
    return start, end


def range_response(request: Request, stored: RangeReadable) -> Response:
    """Return status 200 with all bytes, or 206 or 416 if the request names a range (and `If-Range`, if given, names
    these bytes)."""
    etag = f'"{stored.tag}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Content-Disposition": stored.disposition}
    range_header = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = parse_range(range_header, stored.size)
    except RangeNotSatisfiable:
        problem = Problem.from_code("validation_failed", f"The file has {stored.size} bytes.", status=416)
        return problem_response(request, problem, {"Content-Range": f"bytes */{stored.size}"})
    start, end = part or (0, stored.size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(
        _blocks(stored, start, end), status_code=206 if part else 200, headers=headers, media_type=stored.media_type
    )


async def _blocks(stored: RangeReadable, start: int, end: int) -> AsyncIterator[bytes]:
    for offset in range(start, end, BLOCK_BYTES):
        yield await run_in_threadpool(stored.read, offset, min(offset + BLOCK_BYTES, end))

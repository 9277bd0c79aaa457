"""Streaming multipart parser: turns a request body into part events while it arrives (RFC 7578).

It knows neither which fields a form may have nor where files are stored; `app.http.uploads` does.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import ValidationFailed
from ml.errors import FileTooLarge

MIN_BYTES_PER_SECOND = 1024
"""Minimum bytes per second of an upload, on average. The first idle seconds are not counted."""
MAX_PART_NAME_CHARACTERS = 255
"""Characters of a field name or file name that are kept."""


@dataclass(frozen=True)
class PartStart:
    """Start of a part: the field's name, and the file's name or ""."""

    name: str
    filename: str


@dataclass(frozen=True)
class PartEnd:
    """End of a part."""


PartEvent = PartStart | bytes | PartEnd


def parse_boundary(content_type: str | None) -> bytes:
    """Return the boundary of a `Content-Type` header. Raises ValidationFailed if it names none."""
    media_type, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if media_type != b"multipart/form-data" or not boundary:
        raise ValidationFailed("The body must be multipart/form-data with a boundary.")
    return boundary


async def read_parts(
    chunks: AsyncIterable[bytes], boundary: bytes, max_bytes: int, idle_seconds: float
) -> AsyncGenerator[PartEvent, None]:
    """Yield the events of a multipart body as it arrives: for each part PartStart, its data, PartEnd.

    Raises ValidationFailed if the body is malformed, incomplete, stalls for `idle_seconds`, or arrives at less than
    `MIN_BYTES_PER_SECOND`; FileTooLarge after `max_bytes`, whatever its headers declared.
    """
    parser = PartParser(boundary)
    received, waited = 0, 0.0
    iterator = aiter(chunks)
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(idle_seconds):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise ValidationFailed(f"The upload stalled: no data arrived for {idle_seconds:g} seconds.") from error
        waited += time.monotonic() - began
        received += len(chunk)
        if waited > idle_seconds + received / MIN_BYTES_PER_SECOND:
            raise ValidationFailed(f"The upload is too slow: send at least {MIN_BYTES_PER_SECOND} bytes per second.")
        if received > max_bytes:
            raise FileTooLarge(f"The request has more than {max_bytes} bytes.")
        for event in parser.feed(chunk):
            yield event
    if not parser.ended:
        raise ValidationFailed("The multipart body ends before its last boundary.")


class PartParser:
    """Wrapper of python-multipart's push parser that collects its callbacks as events."""

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._events: list[PartEvent] = []
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise ValidationFailed("The boundary of the multipart body is too long.") from error

    def feed(self, data: bytes) -> list[PartEvent]:
        """Parse more of the body and return the events found in it. Raises ValidationFailed."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise ValidationFailed("The multipart body is malformed.") from error
        events, self._events = self._events, []
        return events

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name = parameters.get(b"name", b"")
        if disposition != b"form-data" or not name:
            raise ValidationFailed("A part of the multipart body has no name.")
        self._events.append(PartStart(_decode_name(name), _decode_name(parameters.get(b"filename", b""))))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(PartEnd())

    def _on_end(self) -> None:
        self.ended = True


def _decode_name(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")[:MAX_PART_NAME_CHARACTERS]

"""A multipart upload, taken apart while it arrives: fields are small and held, files go straight to the store.

Nothing here knows HTTP or storage: bytes come from an async iterator, a file goes to a `Sink`. Memory stays flat: one
block of `BLOCK_BYTES` a request, whatever the size of the file.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import FileRefused, ValidationFailed
from ml.errors import FileTooLarge, MediaInvalid, UnsupportedMedia
from ml.signatures import IMAGE_FORMATS, SNIFF_BYTES, format_from_signature

BLOCK_BYTES = 1 << 20
"""Written at once: each write is a journey to another thread."""
FILE_FIELD = "file"
MAX_REPEATS = 16
"""Of one field."""
MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True)
class UploadLimits:
    """`file_bytes`: most of one file, and of all the files of one request. `fields`: most bytes of each known field."""

    file_bytes: int
    files: int
    fields: Mapping[str, int]
    repeats: int = MAX_REPEATS
    idle_seconds: float = 60.0

    @property
    def body_bytes(self) -> int:
        """Most bytes of a whole request body: the files, the fields and what frames them."""
        parts = self.files + self.repeats * len(self.fields)
        return self.file_bytes + self.repeats * sum(self.fields.values()) + parts * 8192


class Sink(Protocol):
    """Where the bytes of one file go."""

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """The file is whole. Nothing is kept of one that was not closed."""

    async def discard(self) -> None:
        """Removes whatever there is, closed or not."""


@dataclass(frozen=True)
class ReceivedFile:
    """A file that was stored whole. `name` is what the caller called it: to be shown, never to be used as a path."""

    name: str
    size: int
    sha256: str
    is_picture: bool = False


@dataclass
class UploadForm:
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[ReceivedFile] = field(default_factory=list)

    def one(self, name: str) -> str | None:
        """The value of a field that may be sent once."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise ValidationFailed(f"The field {name} was sent more than once.")
        return values[0] if values else None


OpenSink = Callable[[], Sink]
CheckField = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True)
class PartStart:
    name: str
    filename: str


@dataclass(frozen=True)
class PartEnd:
    pass


PartEvent = PartStart | bytes | PartEnd


def parse_boundary(content_type: str | None) -> bytes:
    """The boundary that a `Content-Type` header names. Raises ValidationFailed where there is none."""
    kind, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise ValidationFailed("The body must be multipart/form-data with a boundary.")
    return boundary


class PartParser:
    """python-multipart's push parser, its callbacks gathered into events."""

    def __init__(self, boundary: bytes) -> None:
        self.ended = False
        self._events: list[PartEvent] = []
        self._header = b""
        self._value = b""
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
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise ValidationFailed("The multipart body is malformed.") from error
        events, self._events = self._events, []
        return events

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name = parameters.get(b"name", b"")
        if disposition != b"form-data" or not name:
            raise ValidationFailed("A part of the multipart body has no name.")
        self._events.append(PartStart(_text(name), _text(parameters.get(b"filename", b""))))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _on_part_end(self) -> None:
        self._events.append(PartEnd())

    def _on_end(self) -> None:
        self.ended = True


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")[:MAX_NAME_CHARACTERS]


async def read_parts(
    chunks: AsyncIterable[bytes], boundary: bytes, most_bytes: int, idle_seconds: float
) -> AsyncGenerator[PartEvent, None]:
    """The parts of a multipart body, as they arrive.

    Raises ValidationFailed for one that is malformed, cut, or stands still for `idle_seconds`; FileTooLarge past
    `most_bytes`, whatever its headers promised.
    """
    parser = PartParser(boundary)
    received = 0
    iterator = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                chunk = await anext(iterator)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise ValidationFailed(f"Nothing more of the body came for {idle_seconds:g} seconds.") from error
        received += len(chunk)
        if received > most_bytes:
            raise FileTooLarge(f"The request has more than {most_bytes} bytes.")
        for event in parser.feed(chunk):
            yield event
    if not parser.ended:
        raise ValidationFailed("The multipart body ends before its last boundary.")


class UploadReader:
    """Receives one form. A context manager: unless `keep` was called, leaving it removes every file it stored."""

    def __init__(self, limits: UploadLimits, open_sink: OpenSink, check_field: CheckField) -> None:
        self._limits = limits
        self._open_sink = open_sink
        self._check_field = check_field
        self._sinks: list[Sink] = []
        self._bytes = 0
        self._kept = False

    async def __aenter__(self) -> "UploadReader":
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._kept:
            await asyncio.shield(self._discard())

    def commit(self) -> None:
        """The files belong to somebody else from now on."""
        self._kept = True

    async def read(self, chunks: AsyncIterable[bytes], boundary: bytes) -> UploadForm:
        """Reads the whole body. `check_field` sees each field as soon as it is there: a bad one ends it early."""
        form = UploadForm()
        limits = self._limits
        async with aclosing(read_parts(chunks, boundary, limits.body_bytes, limits.idle_seconds)) as events:
            async for event in events:
                assert isinstance(event, PartStart)  # each reader below leaves the events at the end of its part
                if event.name == FILE_FIELD:
                    form.files.append(await self._file(events, event, len(form.files)))
                else:
                    value = await self._field(events, event, form)
                    await self._check_field(event.name, value)
                    form.fields.setdefault(event.name, []).append(value)
        return form

    async def _field(self, events: AsyncIterator[PartEvent], part: PartStart, form: UploadForm) -> str:
        most = self._limits.fields.get(part.name)
        if most is None:
            raise ValidationFailed(f"There is no field {part.name!r}.")
        if len(form.fields.get(part.name, ())) >= self._limits.repeats:
            raise ValidationFailed(f"The field {part.name} was sent more than {self._limits.repeats} times.")
        value = bytearray()
        async for data in _data(events):
            value += data
            if len(value) > most:
                raise ValidationFailed(f"The field {part.name} has more than {most} bytes.")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValidationFailed(f"The field {part.name} is not UTF-8 text.") from error

    async def _file(self, events: AsyncIterator[PartEvent], part: PartStart, index: int) -> ReceivedFile:
        if index >= self._limits.files:
            raise ValidationFailed(f"There are more than {self._limits.files} files.")
        try:
            return await self._store(events, part.filename)
        except (FileTooLarge, UnsupportedMedia, MediaInvalid) as error:
            raise FileRefused(error, index) from error

    async def _store(self, events: AsyncIterator[PartEvent], name: str) -> ReceivedFile:
        """Only a file that begins as an accepted format does is stored at all; one that is too long, up to there."""
        digest = hashlib.sha256()
        size = 0
        found: str | None = None
        sink: Sink | None = None
        async for block in _blocks(self._counted(events)):
            if sink is None:
                if (found := format_from_signature(block[:SNIFF_BYTES])) is None:
                    raise UnsupportedMedia("The file is of no image, audio or video format that is accepted.")
                sink = self._open_sink()
                self._sinks.append(sink)
            digest.update(block)
            size += len(block)
            await sink.write(block)
        if sink is None:
            raise MediaInvalid("The file is empty.")
        await sink.close()
        return ReceivedFile(name, size, digest.hexdigest(), found in IMAGE_FORMATS)

    async def _counted(self, events: AsyncIterator[PartEvent]) -> AsyncIterator[bytes]:
        async for data in _data(events):
            self._bytes += len(data)
            if self._bytes > self._limits.file_bytes:
                raise FileTooLarge(f"More than {self._limits.file_bytes} bytes were sent.")
            yield data

    async def _discard(self) -> None:
        for sink in self._sinks:
            await sink.discard()


async def _data(events: AsyncIterator[PartEvent]) -> AsyncIterator[bytes]:
    """What is left of the part that `events` stands in."""
    async for event in events:
        if isinstance(event, PartEnd):
            return
        assert isinstance(event, bytes)
        yield event


async def _blocks(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks of at least `BLOCK_BYTES`, but for the last."""
    block = bytearray()
    async for piece in data:
        block += piece
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)

"""Reads an upload form while it arrives: small fields are kept in memory, files go straight to a sink.

It knows neither HTTP nor storage: bytes come from an async iterator, and each file goes to a `Sink`. Memory use is one
block of `BLOCK_BYTES` per request, whatever the size of the files.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from app.errors import FileRefused, ValidationFailed
from app.http.multipart import PartEnd, PartEvent, PartStart, read_parts
from ml.errors import FileTooLarge, MediaInvalid, UnsupportedMedia
from ml.signatures import IMAGE_FORMATS, SNIFF_BYTES, describe_refused, format_from_signature

BLOCK_BYTES = 1 << 20
"""Bytes per write to a sink; each write is a thread hop."""
FILE_FIELD = "file"
MAX_REPEATS = 16
"""Maximum number of times one field may be repeated."""
FRAMING_BYTES_PER_PART = 8192
"""Bytes allowed for the boundary and headers of one part."""


@dataclass(frozen=True)
class UploadLimits:
    """Limits of one upload.

    `max_file_bytes` bounds one file, and all files of a request together. `max_field_bytes` lists the known fields
    with the maximum bytes of each.
    """

    max_file_bytes: int
    max_files: int
    max_field_bytes: Mapping[str, int]
    max_repeats: int = MAX_REPEATS
    idle_seconds: float = 60.0

    @property
    def max_body_bytes(self) -> int:
        """Maximum bytes of a whole request body: files, fields and multipart framing."""
        parts = self.max_files + self.max_repeats * len(self.max_field_bytes)
        fields = self.max_repeats * sum(self.max_field_bytes.values())
        return self.max_file_bytes + fields + parts * FRAMING_BYTES_PER_PART


class Sink(Protocol):
    """Destination of the bytes of one file."""

    async def write(self, data: bytes) -> None:
        """Append data."""

    async def close(self) -> None:
        """Keep the file, which is complete. A file that was not closed is not kept."""

    async def discard(self) -> None:
        """Remove the file, closed or not."""


@dataclass(frozen=True)
class ReceivedFile:
    """A file that was stored completely. `name` is the caller's name for it: for display only, never a path."""

    name: str
    size: int
    sha256: str
    is_image: bool = False


@dataclass
class UploadForm:
    """Fields and files of an upload."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[ReceivedFile] = field(default_factory=list)

    def single(self, name: str) -> str | None:
        """Return the value of a field that may be sent once, or None. Raises ValidationFailed if it was repeated."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise ValidationFailed(f"The field {name} was sent more than once.")
        return values[0] if values else None


OpenSink = Callable[[], Sink]
DetectFormat = Callable[[bytes, str], str | None]
"""Returns the format of a file by its first bytes and its name; None if it is not accepted."""
ValidateField = Callable[[str, str], Awaitable[None]]


class UploadReader:
    """Reader of one upload form. As a context manager it removes every stored file on exit, unless `commit` was
    called."""

    def __init__(
        self,
        limits: UploadLimits,
        open_sink: OpenSink,
        validate_field: ValidateField,
        decoders: Mapping[str, Callable[[bytes], str]] | None = None,
        detect_format: DetectFormat = lambda head, name: format_from_signature(head),
    ) -> None:
        """`decoders`: how the bytes of a field become text, for fields that need not be UTF-8. `detect_format`: which
        files are accepted; by default media."""
        self._limits = limits
        self._open_sink = open_sink
        self._validate_field = validate_field
        self._decoders = decoders or {}
        self._detect_format = detect_format
        self._sinks: list[Sink] = []
        self._file_bytes = 0
        self._committed = False

    async def __aenter__(self) -> "UploadReader":
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._committed:
            await asyncio.shield(self._discard())

    def commit(self) -> None:
        """Keep the files: another owner is responsible for them from now on."""
        self._committed = True

    async def read(self, chunks: AsyncIterable[bytes], boundary: bytes) -> UploadForm:
        """Read the whole body. Each field is validated as soon as it is complete, so a bad one ends the upload early.

        Raises what `read_parts`, `validate_field` and the decoders raise; ValidationFailed, FileRefused, or what a sink
        raises.
        """
        form = UploadForm()
        limits = self._limits
        async with aclosing(read_parts(chunks, boundary, limits.max_body_bytes, limits.idle_seconds)) as events:
            async for event in events:
                assert isinstance(event, PartStart)  # the readers below stop at the end of their part
                if event.name == FILE_FIELD:
                    form.files.append(await self._read_file(events, event, len(form.files)))
                else:
                    value = await self._read_field(events, event, form)
                    await self._validate_field(event.name, value)
                    form.fields.setdefault(event.name, []).append(value)
        return form

    async def _read_field(self, events: AsyncIterator[PartEvent], part: PartStart, form: UploadForm) -> str:
        max_bytes = self._limits.max_field_bytes.get(part.name)
        if max_bytes is None:
            raise ValidationFailed(f"There is no field {part.name!r}.")
        if len(form.fields.get(part.name, ())) >= self._limits.max_repeats:
            raise ValidationFailed(f"The field {part.name} was sent more than {self._limits.max_repeats} times.")
        value = bytearray()
        async for data in _part_data(events):
            value += data
            if len(value) > max_bytes:
                raise ValidationFailed(f"The field {part.name} has more than {max_bytes} bytes.")
        if (decode := self._decoders.get(part.name)) is not None:
            return await run_in_threadpool(decode, bytes(value))
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValidationFailed(f"The field {part.name} is not UTF-8 text.") from error

    async def _read_file(self, events: AsyncIterator[PartEvent], part: PartStart, index: int) -> ReceivedFile:
        if index >= self._limits.max_files:
            raise ValidationFailed(f"There are more than {self._limits.max_files} files.")
        try:
            return await self._store_file(events, part.filename)
        except (FileTooLarge, UnsupportedMedia, MediaInvalid) as error:
            raise FileRefused(error, index) from error

    async def _store_file(self, events: AsyncIterator[PartEvent], name: str) -> ReceivedFile:
        """Store a file if its first bytes show an accepted format. Storing stops when the size limit is exceeded."""
        digest = hashlib.sha256()
        size = 0
        format: str | None = None
        sink: Sink | None = None
        async for block in _blocks(self._count_bytes(events)):
            if sink is None:
                format = self._detect_format(block[:SNIFF_BYTES], name)
                if format is None:
                    raise UnsupportedMedia(describe_refused(block[:SNIFF_BYTES]))
                sink = self._open_sink()
                self._sinks.append(sink)
            digest.update(block)
            size += len(block)
            await sink.write(block)
        if sink is None:
            raise MediaInvalid("The file is empty.")
        await sink.close()
        return ReceivedFile(name, size, digest.hexdigest(), format in IMAGE_FORMATS)

    async def _count_bytes(self, events: AsyncIterator[PartEvent]) -> AsyncIterator[bytes]:
        async for data in _part_data(events):
            self._file_bytes += len(data)
            if self._file_bytes > self._limits.max_file_bytes:
                raise FileTooLarge(f"The files have more than {self._limits.max_file_bytes} bytes.")
            yield data

    async def _discard(self) -> None:
        for sink in self._sinks:
            await sink.discard()


async def _part_data(events: AsyncIterator[PartEvent]) -> AsyncIterator[bytes]:
    """Yield the remaining data of the current part."""
    async for event in events:
        if isinstance(event, PartEnd):
            return
        assert isinstance(event, bytes)
        yield event


async def _blocks(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Regroup data into blocks of at least `BLOCK_BYTES`; the last may be smaller."""
    block = bytearray()
    async for piece in data:
        block += piece
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)

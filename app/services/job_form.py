"""What is asked of an upload's fields, and where its files go."""

from contextlib import ExitStack, suppress
from typing import BinaryIO

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.errors import InvalidOptions, ValidationFailed, faults_from
from app.http.multipart import UploadForm
from ml.reports.caption_parser import parse_transcript
from ml.results import Options
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import StorageError
from workers.protocol.net.ssrf import Egress
from workers.protocol.records import job_prefix, media_key

MAX_TAG_CHARACTERS = 64
MAX_REPORTED_FAULTS = 20


def parse_options(text: str) -> Options:
    """Reads the `options` field, strictly: "4" is no number. Raises InvalidOptions, which lists all that is wrong."""
    try:
        return Options.model_validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        faults = faults_from(found[:MAX_REPORTED_FAULTS], "options")
        raise InvalidOptions(
            "; ".join(f"{fault.location}: {fault.message}" for fault in faults), errors=faults
        ) from error


async def validate_field(egress: Egress, name: str, value: str) -> None:
    """What can be told from one field alone. Raises ForbiddenUrl, InvalidOptions, InvalidTranscript,
    ValidationFailed."""
    if name in ("url", "webhook_url"):
        egress.check_url(value)
    elif name == "options":
        parse_options(value)
    elif name == "transcript":
        await run_in_threadpool(parse_transcript, value, None)
    elif name == "source_job":
        if not value.isascii() or not value.isprintable() or not value:
            raise ValidationFailed("The field source_job holds the id of a job.")
    elif not 0 < len(value.strip()) <= MAX_TAG_CHARACTERS:
        raise ValidationFailed(f"A tag has 1 to {MAX_TAG_CHARACTERS} characters.")


def validate_form(form: UploadForm) -> None:
    """What can be told from a whole form only. Raises ValidationFailed."""
    if [form.one("url") is not None, form.one("source_job") is not None, bool(form.files)].count(True) != 1:
        raise ValidationFailed(
            "Send a file in the field `file`, or an address in the field `url`, or the id of a kept job in the field "
            "`source_job`."
        )
    if form.one("transcript") is not None and len(form.files) > 1:
        raise ValidationFailed("A transcript belongs to one file: send only one with it.")


class NullSink:
    """Where the bytes of a file go that is here already."""

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    async def discard(self) -> None:
        pass


class UploadAborted(Exception):
    """Tells a half-written blob why it ends."""


class BlobSink:
    """The media blob of one new job, written from threads."""

    def __init__(self, blobs: Blobs, job_id: str) -> None:
        self.job_id = job_id
        self._blobs = blobs
        self._writing = ExitStack()
        self._file: BinaryIO | None = None

    async def write(self, data: bytes) -> None:
        await run_in_threadpool(self._write, data)

    async def close(self) -> None:
        await run_in_threadpool(self._writing.close)

    async def discard(self) -> None:
        await run_in_threadpool(self._discard)

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._writing.enter_context(self._blobs.writing(media_key(self.job_id), leave_room=True))
        self._file.write(data)

    def _discard(self) -> None:
        with suppress(UploadAborted, StorageError), self._writing:
            raise UploadAborted
        with suppress(StorageError):  # the sweep removes it
            self._blobs.delete(job_prefix(self.job_id))

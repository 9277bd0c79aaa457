"""The form of a job submission: its fields, their limits and validation, and where its files are stored."""

from contextlib import ExitStack, suppress
from typing import BinaryIO

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.errors import InvalidOptions, ValidationFailed, describe_faults, faults_from
from app.http.uploads import UploadForm, UploadLimits
from app.schemas import MAX_TAG_CHARACTERS
from app.settings import Settings
from ml.reports.caption_encoding import decode_transcript
from ml.reports.caption_parser import parse_transcript
from ml.results import Options
from workers.protocol.blob_keys import job_prefix, media_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError
from workers.protocol.net.ssrf import MAX_URL_LENGTH, EgressPolicy

MAX_BYTES_PER_CHARACTER = 4
"""Maximum bytes of one character in UTF-8."""


def upload_limits(settings: Settings) -> UploadLimits:
    """Return the limits of a job submission."""
    return UploadLimits(
        max_file_bytes=settings.max_upload_bytes,
        max_files=settings.max_files,
        max_field_bytes={
            "url": MAX_BYTES_PER_CHARACTER * MAX_URL_LENGTH,
            "source_job": 256,
            "options": 65_536,
            "transcript": settings.max_transcript_bytes,
            "webhook_url": MAX_BYTES_PER_CHARACTER * MAX_URL_LENGTH,
            "tag": MAX_BYTES_PER_CHARACTER * MAX_TAG_CHARACTERS,
        },
        idle_seconds=settings.upload_idle_seconds,
    )


FIELD_DECODERS = {"transcript": decode_transcript}
"""How the bytes of a field become text, for the fields that need not be UTF-8."""


def parse_options(text: str) -> Options:
    """Parse the `options` field strictly: "4" is not a number. Raises InvalidOptions, which lists the errors."""
    try:
        return Options.model_validate_json(text, strict=True)
    except ValidationError as error:
        faults = faults_from(error, "options")
        raise InvalidOptions(describe_faults(faults), errors=faults) from error


async def validate_field(egress: EgressPolicy, name: str, value: str) -> None:
    """Validate one field by itself. Raises ForbiddenUrl, InvalidOptions, InvalidTranscript, UnsupportedTranscript,
    ValidationFailed."""
    if name in ("url", "webhook_url"):
        egress.check_url(value)
    elif name == "options":
        parse_options(value)
    elif name == "transcript":
        await run_in_threadpool(parse_transcript, value, None)
    elif name == "source_job":
        if not value.isascii() or not value.isprintable() or not value:
            raise ValidationFailed("The field source_job must be the id of a job.")
    elif not 0 < len(value.strip()) <= MAX_TAG_CHARACTERS:
        raise ValidationFailed(f"A tag must have 1 to {MAX_TAG_CHARACTERS} characters.")


def validate_form(form: UploadForm) -> None:
    """Validate the fields of a form together. Raises ValidationFailed."""
    if [form.single("url") is not None, form.single("source_job") is not None, bool(form.files)].count(True) != 1:
        raise ValidationFailed(
            "Send one of these: a file in the field `file`, an address in the field `url`, or the id of a kept job in "
            "the field `source_job`."
        )
    if form.single("transcript") is not None and len(form.files) > 1:
        raise ValidationFailed("A transcript belongs to one file: send only one file with it.")


class NullSink:
    """Sink that drops the bytes of a file which is already stored."""

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    async def discard(self) -> None:
        pass


class UploadAborted(Exception):
    """Exception used to abort a partially written blob."""


class BlobSink:
    """Sink that writes the media blob of a new job in threads."""

    def __init__(self, blobs: BlobStore, job_id: str) -> None:
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
            self._file = self._writing.enter_context(
                self._blobs.open_writer(media_key(self.job_id), check_free_space=True)
            )
        self._file.write(data)

    def _discard(self) -> None:
        with suppress(UploadAborted, StorageError), self._writing:
            raise UploadAborted
        with suppress(StorageError):  # the sweep removes it later
            self._blobs.delete(job_prefix(self.job_id))

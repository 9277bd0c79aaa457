"""Submission of batch jobs: each file, link and text becomes a job of this service."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.compat.hume.archives import ArchiveEntry, ArchiveKind, ArchiveLimits, archive_kind, entries_of
from app.compat.hume.records import LEADER_TAG, Batch, BatchSource, Member, batch_tag
from app.compat.hume.requests import media_options, parse, refuse_unsupported
from app.compat.hume.schemas import HumeFile, HumeFileError, HumeRequest, HumeSource, HumeSubmittedRequest
from app.compat.hume.texts import text_media, text_options
from app.errors import ValidationFailed, describe_faults, faults_from
from app.http.request_context import current_origin
from app.http.uploads import ReceivedFile, UploadLimits, UploadReader
from app.services.job_form import BlobSink
from app.services.submission import SMALL_IMAGE_BYTES, JobSubmission, NewJob
from app.services.webhooks import check_webhook
from app.settings import Settings
from ml.errors import AffectError
from ml.reports.caption_encoding import decode_transcript
from ml.results import Options
from ml.signatures import IMAGE_FORMATS, SNIFF_BYTES, describe_refused, format_from_signature
from workers.protocol.blob_keys import batch_key, job_prefix, media_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.records import JobMedia, JobRequest, new_job_id

REQUEST_FIELD = "json"
_TEXT_SUFFIX = ".txt"


class FileSink(BlobSink):
    """Sink of one submitted file, which computes the MD5 sum that Hume reports."""

    def __init__(self, blobs: BlobStore, job_id: str) -> None:
        super().__init__(blobs, job_id)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.head = b""

    async def write(self, data: bytes) -> None:
        self.head = self.head or data[:SNIFF_BYTES]
        self._md5.update(data)
        await super().write(data)

    @property
    def md5sum(self) -> str:
        return self._md5.hexdigest()


@dataclass
class _Draft:
    """A batch that is being put together. `unpacked_bytes`: of the files of its archives."""

    request: HumeRequest
    jobs: list[NewJob] = field(default_factory=list)
    sources: list[BatchSource] = field(default_factory=list)
    files: list[HumeFile] = field(default_factory=list)
    unpacked_bytes: int = 0

    @property
    def reads_text(self) -> bool:
        return self.request.chosen_models.language is not None


def parse_request(text: str | bytes) -> HumeRequest:
    """Return a request from JSON. Raises ValidationFailed, which lists the errors."""
    try:
        return HumeRequest.model_validate_json(text)
    except ValidationError as error:
        faults = faults_from(error)
        raise ValidationFailed(describe_faults(faults), errors=faults) from error


class HumeSubmission:
    """Creates batch jobs."""

    def __init__(self, submission: JobSubmission, blobs: BlobStore, settings: Settings) -> None:
        self._submission, self._blobs, self._settings = submission, blobs, settings
        self._egress = EgressPolicy.from_settings(settings)

    async def submit(self, owner: str, request: HumeRequest) -> str:
        """Create the jobs of a request without files and return the id of the batch. Raises as `submit_form`."""
        await self._submission.require_capacity(owner)
        draft = self._draft(owner, request)
        async with self._discarding(draft):
            await run_in_threadpool(self._add_links_and_texts, draft)
            return await self._create(owner, draft)

    async def submit_form(self, owner: str, body: AsyncIterable[bytes], boundary: bytes) -> tuple[str, HumeRequest]:
        """Create the jobs of an upload and return the id of the batch, with the request.

        Raises what `UploadReader.read` and `entries_of` raise; ForbiddenUrl, InvalidOptions, ValidationFailed,
        TooManyJobs, RedisError, StorageError.
        """
        await self._submission.require_capacity(owner)
        sinks: list[BlobSink] = []

        def open_sink() -> FileSink:
            sink = FileSink(self._blobs, new_job_id())
            sinks.append(sink)
            return sink

        reader = UploadReader(self._limits(), open_sink, self._validate_field, detect_format=_detect_format)
        async with self._submission.renewing_uploads(sinks), reader:
            form = await reader.read(body, boundary)
            draft = self._draft(owner, parse_request(form.single(REQUEST_FIELD) or "{}"))
            stored = [sink for sink in sinks if isinstance(sink, FileSink)]
            async with self._discarding(draft):
                await run_in_threadpool(self._add_files, draft, form.files, stored)
                await run_in_threadpool(self._add_links_and_texts, draft)
                batch_id = await self._create(owner, draft)
            kept = {job.id for job in draft.jobs}
            reader.commit()
            for sink in stored:  # archives
                if sink.job_id not in kept:
                    await sink.discard()
        return batch_id, draft.request

    def _limits(self) -> UploadLimits:
        return UploadLimits(
            max_file_bytes=self._settings.max_upload_bytes,
            max_files=self._settings.max_batch_items,
            max_field_bytes={REQUEST_FIELD: self._settings.max_transcript_bytes},
            max_repeats=1,
            idle_seconds=self._settings.upload_idle_seconds,
        )

    async def _validate_field(self, name: str, value: str) -> None:
        refuse_unsupported(await run_in_threadpool(parse_request, value))

    def _draft(self, owner: str, request: HumeRequest) -> _Draft:
        refuse_unsupported(request)
        if request.callback_url is not None:
            check_webhook(self._settings, owner, request.callback_url)
        return _Draft(request)

    @asynccontextmanager
    async def _discarding(self, draft: _Draft) -> AsyncIterator[None]:
        """Delete the stored media of the draft if it fails."""

        def discard() -> None:
            with suppress(StorageError):  # whatever remains is swept
                for job in draft.jobs:
                    self._blobs.delete(job_prefix(job.id))

        try:
            yield
        except BaseException:
            await asyncio.shield(run_in_threadpool(discard))
            raise

    def _add_links_and_texts(self, draft: _Draft) -> None:
        request = draft.request
        options = media_options(request)
        self._check_count(draft, len(request.urls or ()) + len(request.text or ()))
        for url in request.urls or ():
            self._egress.check_url(url)
            job = NewJob(new_job_id(), JobRequest(url=url, options=options))
            draft.jobs.append(job)
            member = Member(job_id=job.id, file=url)
            draft.sources.append(BatchSource(source=HumeSource(type="url", url=url), members=(member,)))
        if request.text:
            if not draft.reads_text:
                raise ValidationFailed("Texts are read by models.language, which is not among the models.")
            members = tuple(self._add_text(draft, text, str(number)) for number, text in enumerate(request.text))
            draft.sources.append(BatchSource(source=HumeSource(type="text"), members=members))

    def _check_count(self, draft: _Draft, more: int) -> None:
        if len(draft.jobs) + more > self._settings.max_batch_items:
            raise ValidationFailed(f"A job may have {self._settings.max_batch_items} files, links and texts.")

    def _add_text(self, draft: _Draft, text: str, name: str, job_id: str | None = None) -> Member:
        """Add a text as a job, over the file of that job if it has one."""
        recording, transcript = text_media(text)
        transcription = draft.request.transcription
        options = parse(text_options(transcription.language if transcription else None))
        job_id = job_id or new_job_id()
        self._blobs.put(media_key(job_id), recording)
        media = JobMedia(name=name, size=len(recording), sha256=hashlib.sha256(recording).hexdigest())
        request = JobRequest(media=media, options=options, transcript=transcript)
        draft.jobs.append(NewJob(job_id, request, len(recording)))
        return Member(job_id=job_id, file=name, text=text)

    def _add_files(self, draft: _Draft, files: list[ReceivedFile], sinks: list[FileSink]) -> None:
        options = media_options(draft.request)
        for file, sink in zip(files, sinks, strict=True):
            stored = HumeFile(filename=file.name or None, md5sum=sink.md5sum)
            draft.files.append(stored)
            source = HumeSource(type="file", filename=stored.filename, md5sum=stored.md5sum)
            kind = archive_kind(sink.head)
            if kind is not None:
                added = self._add_archive(draft, kind, sink.job_id, options)
                draft.sources.append(BatchSource(source=source, members=added[0], errors=added[1]))
                continue
            member = self._add_file(draft, file, sink, options)
            draft.sources.append(BatchSource(source=source, members=(member,)))
        self._check_count(draft, 0)

    def _add_file(self, draft: _Draft, file: ReceivedFile, sink: FileSink, options: Options) -> Member:
        if format_from_signature(sink.head) is None:
            if not draft.reads_text:
                raise ValidationFailed("A text file is read by models.language, which is not among the models.")
            return self._add_text(draft, self._read_text(sink.job_id, file.size), file.name, sink.job_id)
        draft.jobs.append(_media_job(sink.job_id, file, options))
        return Member(job_id=sink.job_id, file=file.name)

    def _read_text(self, job_id: str, size: int) -> str:
        if size > self._settings.max_transcript_bytes:
            raise ValidationFailed(f"A text has more than {self._settings.max_transcript_bytes} bytes.")
        return decode_transcript(self._blobs.get(media_key(job_id)) or b"")

    def _add_archive(
        self, draft: _Draft, kind: ArchiveKind, job_id: str, options: Options
    ) -> tuple[tuple[Member, ...], tuple[HumeFileError, ...]]:
        """Add the files of a stored archive as jobs. Return them, and why some are left out."""
        members, errors = list[Member](), list[HumeFileError]()
        limits = ArchiveLimits(
            self._settings.max_batch_items - len(draft.jobs), self._settings.max_upload_bytes - draft.unpacked_bytes
        )
        with tempfile.TemporaryDirectory() as scratch, self._blobs.as_file(media_key(job_id), Path(scratch)) as path:
            for entry in entries_of(path, kind, limits):
                try:
                    members.append(self._add_entry(draft, entry, options))
                except _EntryRefused as error:
                    errors.append(HumeFileError(message=error.message, file=entry.name))
        return tuple(members), tuple(errors)

    def _add_entry(self, draft: _Draft, entry: ArchiveEntry, options: Options) -> Member:
        """Store a file of an archive and add its job. Raises _EntryRefused if it is not media."""
        head = next(entry.blocks, b"")
        name = entry.name.replace("\\", "/")
        format = format_from_signature(head[:SNIFF_BYTES])
        if not head:
            raise _EntryRefused("The file is empty.")
        if archive_kind(head) is not None:
            raise _EntryRefused("An archive within an archive is not read.")
        if format is None and draft.reads_text and _looks_like_text(head, name):
            content = self._small_text(head, entry)
            try:
                return self._add_text(draft, decode_transcript(content), name)
            except AffectError as error:
                raise _EntryRefused(error.message) from error
        if format is None:
            raise _EntryRefused(describe_refused(head[:SNIFF_BYTES]))
        job_id, size, digest = new_job_id(), 0, hashlib.sha256()
        with self._blobs.open_writer(media_key(job_id), check_free_space=True) as writer:
            while head:
                writer.write(head)
                digest.update(head)
                size += len(head)
                head = next(entry.blocks, b"")
        file = ReceivedFile(name, size, digest.hexdigest(), format in IMAGE_FORMATS)
        draft.unpacked_bytes += size
        draft.jobs.append(_media_job(job_id, file, options))
        return Member(job_id=job_id, file=name)

    def _small_text(self, head: bytes, entry: ArchiveEntry) -> bytes:
        """Return the content of a text that begins with `head`. Raises _EntryRefused if it is too long for memory."""
        content = bytearray(head)
        for block in entry.blocks:
            content += block
            if len(content) > self._settings.max_transcript_bytes:
                raise _EntryRefused(f"A text has more than {self._settings.max_transcript_bytes} bytes.")
        return bytes(content)

    async def _create(self, owner: str, draft: _Draft) -> str:
        """Store the batch and create its jobs. Return its id, which is that of its first job."""
        if not draft.jobs:
            raise ValidationFailed("The request has nothing to analyse: send a file, urls or text.")
        batch_id, ids = draft.jobs[0].id, tuple(job.id for job in draft.jobs)
        common = {"origin": current_origin(), "webhook_url": draft.request.callback_url, "batch": ids}
        jobs = [
            NewJob(
                job.id,
                job.request.model_copy(update={**common, "tags": _tags(batch_id, is_first=job.id == batch_id)}),
                job.media_bytes,
                job.small,
            )
            for job in draft.jobs
        ]
        request = HumeSubmittedRequest(**dict(draft.request), files=tuple(draft.files))
        batch = Batch(request=request, sources=tuple(draft.sources))
        await run_in_threadpool(self._blobs.put, batch_key(batch_id), batch.model_dump_json().encode())
        await asyncio.shield(self._submission.accept(owner, jobs))
        return batch_id


class _EntryRefused(Exception):
    """A file of an archive is left out. `message` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _tags(batch_id: str, *, is_first: bool) -> tuple[str, ...]:
    return (LEADER_TAG, batch_tag(batch_id)) if is_first else (batch_tag(batch_id),)


def _media_job(job_id: str, file: ReceivedFile, options: Options) -> NewJob:
    media = JobMedia(name=file.name, size=file.size, sha256=file.sha256)
    is_small = file.is_image and file.size <= SMALL_IMAGE_BYTES
    return NewJob(job_id, JobRequest(media=media, options=options), file.size, is_small)


def _detect_format(head: bytes, name: str) -> str | None:
    """Return the format of a submitted file: media, an archive, or a text by its name; None if it is refused."""
    return format_from_signature(head) or archive_kind(head) or ("text" if _looks_like_text(head, name) else None)


def _looks_like_text(head: bytes, name: str) -> bool:
    return name.lower().endswith(_TEXT_SUFFIX) and b"\0" not in head.replace(b"\xff\xfe", b"")

"""What a job gives besides its result: its changes as they come, its media while they are kept, its artifacts."""

import math
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import PurePath

from starlette.concurrency import run_in_threadpool

from app.errors import ArtifactNotFound
from app.http.negotiation import disposition
from app.http.ranges import RangeReadable
from app.schemas import Artifact, ArtifactList
from app.services.jobs import Jobs, path_of
from ml.signatures import SNIFF_BYTES, format_from_signature
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.records import FINAL, JobRecord, artifact_key, artifacts_prefix, is_artifact_name, media_key
from workers.protocol.store.events import ProgressEvent, EventReader

KEEPALIVE_SECONDS = 15.0
"""After so much silence a proxy may take a connection for dead."""
DEFAULT_MEDIA_TYPE = "application/octet-stream"
_ARTIFACT_TYPES = {
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
MEDIA_TYPES: Mapping[str, str] = {
    "aac": "audio/aac",
    "avi": "video/x-msvideo",
    "flac": "audio/flac",
    "jpeg": "image/jpeg",
    "m4a": "audio/mp4",
    "matroska": "video/matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "png": "image/png",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}
"""By the format of `ml.signatures`."""
_SUFFIXES = {"jpeg": ".jpg", "matroska": ".mkv"}


class Results:
    """Reads what belongs to a job, for its owner alone."""

    def __init__(self, jobs: Jobs, events: EventReader, blobs: Blobs) -> None:
        self._jobs, self._events, self._blobs = jobs, events, blobs

    async def artifacts(self, owner: str, job_id: str) -> ArtifactList:
        """Raises JobUnfinished, JobFailed, JobCancelled, JobExpired, as all that is asked of a result."""
        record = await self._jobs.succeeded(owner, job_id)
        sizes = await run_in_threadpool(self._blobs.sizes, artifacts_prefix(job_id, record.token))
        return ArtifactList(
            artifacts=tuple(
                Artifact(
                    name=name, media_type=_artifact_type(name), size=size, link=f"{path_of(job_id)}/artifacts/{name}"
                )
                for name, size in sizes.items()
            )
        )

    async def artifact(self, owner: str, job_id: str, name: str) -> RangeReadable:
        """Raises ArtifactNotFound, and what `artifacts` raises."""
        record = await self._jobs.succeeded(owner, job_id)
        if not is_artifact_name(name):
            raise ArtifactNotFound("The job has no such artifact.")
        return await run_in_threadpool(self._artifact, record, name)

    def _artifact(self, record: JobRecord, name: str) -> RangeReadable:
        key = artifact_key(record.id, record.token, name)
        size = self._blobs.size(key)
        if size is None:
            raise ArtifactNotFound("The job has no such artifact.")
        read = partial(self._blobs.read, key)
        return RangeReadable(read, size, f"{record.token}-{size}", _artifact_type(name), f'inline; filename="{name}"')

    async def media(self, owner: str, job_id: str) -> RangeReadable:
        """The media, until the job has ended; after that where they are kept. Raises ArtifactNotFound."""
        record = await self._jobs.record(owner, job_id)
        name = await self._jobs.media_name(owner, job_id)
        return await run_in_threadpool(self._media, record, name)

    def _media(self, record: JobRecord, name: str) -> RangeReadable:
        key = media_key(record.id, record.fetched)
        size = self._blobs.size(key)
        if size is None:
            raise ArtifactNotFound("The job's media are not kept.")
        read = partial(self._blobs.read, key)
        kind = format_from_signature(read(0, SNIFF_BYTES)) or "bin"
        shown = disposition("inline", name, _SUFFIXES.get(kind, f".{kind}"))
        return RangeReadable(read, size, f"{record.fetched}-{size}", MEDIA_TYPES.get(kind, DEFAULT_MEDIA_TYPE), shown)

    async def events(self, owner: str, job_id: str, last: str | None) -> AsyncIterator[ProgressEvent | None] | None:
        """The job as it is, or what came after the event `last`; then each change, up to the final one. A null among
        them: nothing has come for `KEEPALIVE_SECONDS`. Null instead of all: `last` was the final one."""
        record = await self._jobs.record(owner, job_id)
        if last is not None and record.status in FINAL and _is_final(record, last):
            return None
        return self._changes(record, last)

    async def _changes(self, record: JobRecord, last: str | None) -> AsyncIterator[ProgressEvent | None]:
        if last is None or (record.status in FINAL and record.event == "0"):  # an ended job's events are gone first
            yield _event(record)
            last = record.event
        ended = last == record.event and record.status in FINAL
        while not ended:
            events = await self._events.read_after(record.id, last, KEEPALIVE_SECONDS)
            if not events:
                await self._jobs.record(record.owner, record.id)  # it may be gone, and its events with it
                yield None
            for event in events:
                yield event
                last, ended = event.id, event.is_last


def _event(record: JobRecord) -> ProgressEvent:
    """The event that brought the job to where it stands."""
    return ProgressEvent(id=_event_id(record), status=record.status, stage=record.stage, progress=record.progress)


def _event_id(record: JobRecord) -> str:
    """Of an ended job whose events are gone, one that is as late."""
    if record.finished_at is None or record.event != "0":
        return record.event
    return f"{math.ceil(record.finished_at.timestamp() * 1000)}-0"


def _is_final(record: JobRecord, event: str) -> bool:
    return _order(event) >= _order(_event_id(record))


def _order(event: str) -> tuple[int, ...]:
    return tuple(map(int, event.split("-")))


def _artifact_type(name: str) -> str:
    return _ARTIFACT_TYPES.get(PurePath(name).suffix, DEFAULT_MEDIA_TYPE)

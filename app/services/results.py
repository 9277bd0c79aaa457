"""Data of a job in addition to its result document: progress events, stored media, artifacts."""

import math
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import PurePath

from starlette.concurrency import run_in_threadpool

from app.errors import ArtifactNotFound
from app.http.negotiation import disposition
from app.http.ranges import RangeReadable
from app.schemas import Artifact, ArtifactList
from app.services.jobs import JobQueries, job_path
from ml.signatures import SNIFF_BYTES, format_from_signature
from workers.protocol.blob_keys import artifact_key, artifacts_prefix, is_artifact_name, media_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import FINAL_STATUSES, JobRecord
from workers.protocol.store.events import EventReader, ProgressEvent

KEEPALIVE_SECONDS = 15.0
"""Seconds without an event after which a keep-alive is sent, so that proxies keep the connection open."""
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
    "aiff": "audio/aiff",
    "amr": "audio/amr",
    "asf": "video/x-ms-asf",
    "avi": "video/x-msvideo",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "caf": "audio/x-caf",
    "flac": "audio/flac",
    "flv": "video/x-flv",
    "gif": "image/gif",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "m4a": "audio/mp4",
    "matroska": "video/matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpegts": "video/mp2t",
    "ogg": "audio/ogg",
    "png": "image/png",
    "tiff": "image/tiff",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}
"""Media type of each format of `ml.signatures`."""
_FILE_SUFFIXES = {
    "asf": ".wmv",
    "heif": ".heic",
    "jpeg": ".jpg",
    "matroska": ".mkv",
    "mpeg": ".mpg",
    "mpegts": ".ts",
    "tiff": ".tif",
}


class Results:
    """Reads the events, media and artifacts of an owner's jobs."""

    def __init__(self, jobs: JobQueries, events: EventReader, blobs: BlobStore) -> None:
        self._jobs, self._events, self._blobs = jobs, events, blobs

    async def artifacts(self, owner: str, job_id: str) -> ArtifactList:
        """List the job's artifacts. Raises what `JobQueries.find_succeeded` raises."""
        record = await self._jobs.succeeded(owner, job_id)
        sizes = await run_in_threadpool(self._blobs.list_sizes, artifacts_prefix(job_id, record.token))
        return ArtifactList(
            artifacts=tuple(
                Artifact(
                    name=name, media_type=_artifact_type(name), size=size, link=f"{job_path(job_id)}/artifacts/{name}"
                )
                for name, size in sizes.items()
            )
        )

    async def artifact(self, owner: str, job_id: str, name: str) -> RangeReadable:
        """Return one artifact. Raises ArtifactNotFound, and what `JobQueries.find_succeeded` raises."""
        record = await self._jobs.succeeded(owner, job_id)
        size: int | None = None
        if is_artifact_name(name):
            key = artifact_key(record.id, record.token, name)
            size = await run_in_threadpool(self._blobs.size, key)
        if size is None:
            raise ArtifactNotFound("The job has no artifact of this name.")
        return RangeReadable(
            read=partial(self._blobs.read_range, key),
            size=size,
            tag=f"{record.token}-{size}",
            media_type=_artifact_type(name),
            disposition=f'inline; filename="{name}"',
        )

    async def media(self, owner: str, job_id: str) -> RangeReadable:
        """Return the media, which are stored until the job has ended, or longer with `keep_media`. Raises
        ArtifactNotFound, JobNotFound, JobExpired."""
        record = await self._jobs.record(owner, job_id)
        name = await self._jobs.media_name(owner, job_id)

        def describe() -> RangeReadable:
            key = media_key(record.id, record.fetch_token)
            size = self._blobs.size(key)
            if size is None:
                raise ArtifactNotFound("The job's media are not stored.")
            read = partial(self._blobs.read_range, key)
            format = format_from_signature(read(0, SNIFF_BYTES)) or "bin"
            return RangeReadable(
                read=read,
                size=size,
                tag=f"{record.fetch_token}-{size}",
                media_type=MEDIA_TYPES.get(format, DEFAULT_MEDIA_TYPE),
                disposition=disposition("inline", name, _FILE_SUFFIXES.get(format, f".{format}")),
            )

        return await run_in_threadpool(describe)

    async def events(self, owner: str, job_id: str, last: str | None) -> AsyncIterator[ProgressEvent | None] | None:
        """Iterate over the job's current state and each later change, up to its final state. With `last`, start after
        that event instead.

        The iterator yields None after `KEEPALIVE_SECONDS` without an event. Returns None instead of an iterator if
        `last` was the final event. Raises JobNotFound, JobExpired, and so does the iterator.
        """
        record = await self._jobs.record(owner, job_id)
        if (
            last is not None
            and record.status in FINAL_STATUSES
            and _event_order(last) >= _event_order(_last_event_id(record))
        ):
            return None
        return self._follow(record, last)

    async def _follow(self, record: JobRecord, last: str | None) -> AsyncIterator[ProgressEvent | None]:
        has_ended = record.status in FINAL_STATUSES
        if last is None or (
            has_ended and record.last_event_id == "0"
        ):  # the events of an ended job expire before its record
            yield ProgressEvent(
                id=_last_event_id(record), status=record.status, stage=record.stage, progress=record.progress
            )
            last = record.last_event_id
        is_final = has_ended and last == record.last_event_id
        while not is_final:
            events = await self._events.read_after(record.id, last, KEEPALIVE_SECONDS)
            if not events:
                await self._jobs.record(
                    record.owner, record.id
                )  # raises if the job was deleted, and its events with it
                yield None
            for event in events:
                yield event
                last, is_final = event.id, event.is_last


def _last_event_id(record: JobRecord) -> str:
    """Return the id of the job's newest event; if the events have expired, one that stands for the final event."""
    if record.finished_at is None or record.last_event_id != "0":
        return record.last_event_id
    return f"{math.ceil(record.finished_at.timestamp() * 1000)}-0"


def _event_order(event_id: str) -> tuple[int, ...]:
    """Return a sort key of an event id, `<milliseconds>-<sequence number>`."""
    return tuple(map(int, event_id.split("-")))


def _artifact_type(name: str) -> str:
    return _ARTIFACT_TYPES.get(PurePath(name).suffix, DEFAULT_MEDIA_TYPE)

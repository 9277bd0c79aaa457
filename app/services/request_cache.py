"""Cache of job requests and their changes, which every poll of a job shows again."""

import time
from collections import OrderedDict

from workers.protocol.blob_keys import changes_key, fetched_media_info_key, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import JobChanges, JobMedia, JobRecord, JobRequest

MAX_CACHED = 2000
"""Maximum number of requests in memory."""
CACHE_SECONDS = 300.0
"""Seconds that a request is cached."""


class RequestCache:
    """Reads the requests of jobs with the callers' changes, and caches the newest without their transcripts.

    It does not check ownership or existence: look the job up in the job store first.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._cached: OrderedDict[str, tuple[float, str, JobRequest]] = OrderedDict()

    def get(self, record: JobRecord) -> JobRequest:
        """Return the request with the job's current tags, and with the media of a link once they are fetched. Empty if
        the blob is lost."""
        expires_at, edition, request = self._cached.get(record.id, (0.0, "", JobRequest()))
        is_current = expires_at > time.monotonic() and edition == record.edition
        if is_current and (request.media or not record.fetch_token):
            return request
        request = self._read(record)
        self._cached[record.id] = (time.monotonic() + CACHE_SECONDS, record.edition, request)
        self._cached.move_to_end(record.id)
        while len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        return request

    def discard(self, job_id: str) -> None:
        """Forget the request of a deleted job."""
        self._cached.pop(job_id, None)

    def _read(self, record: JobRecord) -> JobRequest:
        stored = self._blobs.get(request_key(record.id))
        request = JobRequest.model_validate_json(stored) if stored else JobRequest()
        media = request.media
        if media is None and record.fetch_token:
            fetched = self._blobs.get(fetched_media_info_key(record.id, record.fetch_token))
            media = JobMedia.model_validate_json(fetched) if fetched else None
        changed = self._blobs.get(changes_key(record.id, record.edition)) if record.edition else None
        tags = JobChanges.model_validate_json(changed).tags if changed else request.tags
        return request.model_copy(update={"media": media, "transcript": None, "tags": tags})

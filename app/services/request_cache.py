"""What callers asked for, as every poll of a job shows it again."""

import time
from collections import OrderedDict

from workers.protocol.blobs.blobs import Blobs
from workers.protocol.records import JobMedia, JobRecord, JobRequest, fetched_key, request_key

MAX_CACHED = 2000
CACHE_SECONDS = 300.0


class RequestCache:
    """Reads the requests of jobs, which never change, and holds the newest for a while, without the transcripts.

    Whose a job is, and whether there is one at all, the job store says: it is asked before.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._held: OrderedDict[str, tuple[float, JobRequest]] = OrderedDict()

    def get(self, record: JobRecord) -> JobRequest:
        """The request, with the media that a link gave once they are there. An empty one where it is lost."""
        until, request = self._held.get(record.id, (0.0, JobRequest()))
        if until > time.monotonic() and (request.media or not record.fetched):
            return request
        request = self._read(record)
        self._held[record.id] = (time.monotonic() + CACHE_SECONDS, request)
        self._held.move_to_end(record.id)
        while len(self._held) > MAX_CACHED:
            self._held.popitem(last=False)
        return request

    def discard(self, job_id: str) -> None:
        self._held.pop(job_id, None)

    def _read(self, record: JobRecord) -> JobRequest:
        stored = self._blobs.get(request_key(record.id))
        request = JobRequest.model_validate_json(stored) if stored else JobRequest()
        media = request.media or self._fetched(record)
        return request.model_copy(update={"media": media, "transcript": None})

    def _fetched(self, record: JobRecord) -> JobMedia | None:
        told = self._blobs.get(fetched_key(record.id, record.fetched)) if record.fetched else None
        return JobMedia.model_validate_json(told) if told else None

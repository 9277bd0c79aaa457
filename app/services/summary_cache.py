"""Cache of the summaries of results, which a list of jobs shows."""

from collections import OrderedDict

from workers.protocol.blob_keys import summary_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.records import JobRecord, JobSummary

MAX_CACHED = 2000
"""Maximum number of summaries in memory."""


class SummaryCache:
    """Reads the summaries of succeeded jobs and caches the newest. That of an edition never changes.

    It does not check ownership or existence: look the job up in the job store first.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._cached: OrderedDict[str, JobSummary] = OrderedDict()

    def get(self, record: JobRecord) -> JobSummary | None:
        """Return the summary; null without a result, or for a result of an earlier release."""
        if record.status != "succeeded":
            return None
        key = summary_key(record.id, record.token, record.result_edition)
        summary = self._cached.get(key)
        if summary is None:
            stored = self._blobs.get(key)
            if stored is None:
                return None
            summary = self._cached[key] = JobSummary.model_validate_json(stored)
        self._cached.move_to_end(key)
        while len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        return summary

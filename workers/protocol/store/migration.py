"""What an earlier version left, taken over when this one starts.

Before there were queues by kind, an owner's waiting jobs lay in `waiting:<owner>`, the owners in the one list `ring`;
media were the blob `jobs/<id>/media`, not yet one under it for each claim. Everything here may be interrupted and done
again, by several processes at once.
"""

import logging
from contextlib import suppress

from workers.protocol.blob_keys import job_prefix, media_key, media_prefix
from workers.protocol.blobs.blobs import BlobStore
from workers.protocol.store.job_store import JobStore

logger = logging.getLogger(__name__)


def take_over(job_store: JobStore, blobs: BlobStore) -> None:
    """Brings the jobs of an earlier version into the queues of this one. Raises RedisError, StorageError."""
    if job_store.is_settled():
        return
    count = 0
    for job_id in job_store.earlier_jobs():
        _move_media(blobs, job_id)  # before a worker may claim it
        job_store.adopt(job_id)
        count += 1
    job_store.settle()
    if count:
        logger.warning("%d jobs of an earlier version were taken over", count)


def _move_media(blobs: BlobStore, job_id: str) -> None:
    """By way of a third name: on a disk the blob and the folder that takes its place would have one name."""
    before, aside = media_prefix(job_id), f"{job_prefix(job_id)}/media-before"
    with suppress(FileNotFoundError):  # another process has moved it
        if blobs.size(before) is not None:
            blobs.move(before, aside)
        if blobs.size(aside) is not None:
            blobs.move(aside, media_key(job_id))

"""Artifacts of a result: the files that go with it, stored under the claim that made them.

An artifact that cannot be made becomes a warning and never fails the job. Errors that concern the job itself are
raised: it was cancelled, its lease or time is up, or the storage fails or is full.
"""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml.errors import Cancelled
from ml.rendering.builder import INDEX, ArtifactBuilder
from ml.rendering.encoding import RenderedArtifact
from ml.results import Notice, Options, Result
from workers.jobs.failures import failure_of
from workers.protocol.blob_keys import artifact_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import StorageError, is_out_of_space
from workers.protocol.records import Claim
from workers.protocol.store.job_store import LeaseLost

logger = logging.getLogger(__name__)

BuilderFactory = Callable[[Path, Result, Options, Path, Callable[[], None], str], ArtifactBuilder]
"""Function that returns the artifact builder of one result. Its arguments: the media, the result, the options of the
job, a scratch folder, a cancellation check and the display name of the media."""


def store_artifacts(
    builder: ArtifactBuilder, blobs: BlobStore, claim: Claim, check: Callable[[], None]
) -> tuple[Notice, ...]:
    """Make and store the artifacts one after the other, then their index. Return a warning for each kind that is
    incomplete.

    `check` may end the work between two files. Raises what `check` raises, StorageError, and OSError if a disk is full.
    """
    entries: list[dict[str, Any]] = []
    warnings: list[Notice] = []
    for kind in builder.requested:
        count, reason = len(entries), ""
        try:
            for artifact in builder.make(kind):
                check()
                _store(artifact, blobs, claim)
                entries.append(artifact.entry)
            if len(entries) == count:
                reason = "The media contains nothing to make them from."
        except (Cancelled, LeaseLost, StorageError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and is_out_of_space(error):
                raise
            check()  # the job's own time may be up
            logger.warning("cannot make %s for %s", kind, claim.job_id)
            reason = failure_of(error).message
        if reason:
            warnings.append(Notice(code="artifact_unavailable", message=f"Some {kind} files are missing. {reason}"))
    if entries:
        blobs.put(artifact_key(claim.job_id, claim.token, INDEX), json.dumps(entries).encode())
    return tuple(warnings)


def _store(artifact: RenderedArtifact, blobs: BlobStore, claim: Claim) -> None:
    key = artifact_key(claim.job_id, claim.token, artifact.name)
    if isinstance(artifact.content, bytes):
        blobs.put(key, artifact.content)
        return
    with artifact.content.open("rb") as source, blobs.open_writer(key) as target:
        shutil.copyfileobj(source, target)

"""The files of a result, made by its claim and stored under it. None of them can fail a job: what cannot be made is a
warning. What is not theirs is raised: that the job has to end, and a store that fails or is full."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ml.errors import Cancelled
from ml.results import Notice, Options, Result
from workers.jobs.failures import failure_of
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.blobs.filesystem import StorageError, is_full
from workers.protocol.records import Claim, artifact_key
from workers.protocol.store.job_store import LeaseLost

if TYPE_CHECKING:  # it imports torch
    from ml.rendering.builder import Wish

logger = logging.getLogger(__name__)

INDEX = "index.json"
"""The artifact that tells what each of the others shows: name, kind, title, and time, track or emotion where it has
one."""


class Made(Protocol):
    """What `ml.rendering.encoding.Artifact` offers."""

    @property
    def name(self) -> str: ...

    @property
    def content(self) -> bytes | Path: ...

    @property
    def entry(self) -> dict[str, Any]: ...


class Making(Protocol):
    """What `ml.rendering.builder.Studio` offers."""

    @property
    def wishes(self) -> "tuple[Wish, ...]": ...

    def make(self, wish: "Wish") -> Iterator[Made]: ...


class OpenStudio(Protocol):
    """Gives the studio of one result."""

    def __call__(
        self, path: Path, result: Result, options: Options, scratch: Path, check: Callable[[], None], name: str
    ) -> Making: ...


def write_artifacts(studio: Making, blobs: Blobs, claim: Claim, check: Callable[[], None]) -> tuple[Notice, ...]:
    """Makes and stores one file after the other, and the index of them. What is to be said of those that are missing.

    `check` may end the work between two files, as the files' own making may. Raises what it raises, StorageError, and
    OSError where a disk is full.
    """
    entries: list[dict[str, Any]] = []
    missing: list[Notice] = []
    for wish in studio.wishes:
        before, reason = len(entries), ""
        try:
            for artifact in studio.make(wish):
                check()
                _store(artifact, blobs, claim)
                entries.append(artifact.entry)
            if len(entries) == before:
                reason = "The media has nothing to make them of."
        except (Cancelled, LeaseLost, StorageError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            check()  # it may be the job's own time that was up
            logger.warning("%s of %s cannot be made", wish, claim.job_id)
            reason = failure_of(error).message
        if reason:
            missing.append(Notice(code="artifact_unavailable", message=f"Not all of {wish} could be made. {reason}"))
    if entries:
        blobs.put(artifact_key(claim.job_id, claim.token, INDEX), json.dumps(entries).encode())
    return tuple(missing)


def _store(artifact: Made, blobs: Blobs, claim: Claim) -> None:
    key = artifact_key(claim.job_id, claim.token, artifact.name)
    if isinstance(artifact.content, bytes):
        blobs.put(key, artifact.content)
        return
    with artifact.content.open("rb") as source, blobs.writing(key) as target:
        shutil.copyfileobj(source, target)

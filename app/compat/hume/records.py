"""Stored content of a batch job: the request, and the jobs of this service that its sources became."""

from pydantic import BaseModel, ConfigDict

from app.compat.hume.schemas import HumeFileError, HumeSource, HumeSubmittedRequest

LEADER_TAG = "hume"
"""Tag of the first job of each batch, by which batches are listed."""


def batch_tag(batch_id: str) -> str:
    """Return the tag of all jobs of a batch. The id of a batch is that of its first job."""
    return f"{LEADER_TAG}:{batch_id}"


class Member(BaseModel):
    """A job of a batch: one file, link or text."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    file: str
    text: str | None = None


class BatchSource(BaseModel):
    """A source of a batch, its jobs, and the files of it that did not become jobs."""

    model_config = ConfigDict(frozen=True)

    source: HumeSource
    members: tuple[Member, ...] = ()
    errors: tuple[HumeFileError, ...] = ()


class Batch(BaseModel):
    """A batch job. It is stored with its first job, and deleted with it."""

    model_config = ConfigDict(frozen=True)

    request: HumeSubmittedRequest
    sources: tuple[BatchSource, ...]

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple(member for source in self.sources for member in source.members)

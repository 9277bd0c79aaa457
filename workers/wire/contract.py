"""What crosses between gateway and worker: a job's record, its request, a failure. All of it JSON."""

import secrets
from datetime import datetime
from typing import Literal

from pydantic import Field

from ml.results import Frozen, Options
from ml.vocabulary import Stage

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled"})


def new_job_id() -> str:
    """160 random bits: whoever does not know an id cannot guess it."""
    return f"job_{secrets.token_urlsafe(20)}"


class Failure(Frozen):
    """Why a job failed. `message` is safe to show."""

    code: str
    message: str
    stage: Stage | None = None
    retryable: bool = False


class JobRequest(Frozen):
    """What the caller asked for. It may hold words of the media and lies in a blob, never in Redis."""

    options: Options = Options()
    transcript: str | None = None
    tags: tuple[str, ...] = ()


class JobRecord(Frozen):
    """What the ledger knows of a job."""

    id: str
    owner: str
    status: JobStatus
    stage: Stage | None = None
    progress: float = Field(0.0, ge=0, le=1)
    attempts: int = 0
    cancel_requested: bool = False
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None


class Claim(Frozen):
    """The right to work on a job. Only the newest claim's token may write."""

    job_id: str
    token: int
    attempt: int


def media_key(job_id: str) -> str:
    return f"jobs/{job_id}/media"


def request_key(job_id: str) -> str:
    return f"jobs/{job_id}/request.json"


def result_key(job_id: str) -> str:
    return f"jobs/{job_id}/result.json"

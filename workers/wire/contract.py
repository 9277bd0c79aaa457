"""What crosses between gateway and worker: a job's record, its request, a failure. All of it JSON."""

import secrets
from datetime import datetime
from typing import Any, Literal

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


class JobMedia(Frozen):
    """The file as it was received."""

    name: str = Field(description="What the caller called it.")
    size: int = Field(description="Bytes.")
    sha256: str


class JobRequest(Frozen):
    """What the caller sent. It may hold words of the media and lies in a blob, never in Redis."""

    media: JobMedia | None = None
    options: Options = Options()
    transcript: str | None = None
    tags: tuple[str, ...] = ()


class JobRecord(Frozen):
    """What the ledger knows of a job.

    `stage`: the last that was begun. `position`: of a queued job, how many are claimed before it. `token`: of the
    newest claim. `event`: id of the last change in the job's stream that this record knows of.
    """

    id: str
    owner: str
    status: JobStatus
    stage: Stage | None = None
    progress: float = Field(0.0, ge=0, le=1)
    position: int | None = None
    attempts: int = 0
    token: int = 0
    cancel_requested: bool = False
    event: str = "0"
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None


class Claim(Frozen):
    """The right to work on a job. Only the newest claim's token may write."""

    job_id: str
    token: int
    attempt: int


WorkerKind = Literal["inference", "io", "live"]


class ModelLicence(Frozen):
    """`commercial`: whether the weights may be used commercially; `note` says why."""

    name: str
    commercial: bool
    note: str


class ServedModel(Frozen):
    """A model that a worker answers with. `role`: face, audio, text, fusion or whisper."""

    role: str
    name: str
    version: int | None = Field(description="Null for a model that was not published here.")
    labels: tuple[str, ...]
    metrics: dict[str, Any] = Field(description="Figures measured when it was published, by data set.")
    licence: ModelLicence | None


class Heartbeat(Frozen):
    """What one worker process says of itself, again and again while it lives. `digest` names the bundle's content."""

    worker: str
    kind: WorkerKind = "inference"
    bundle: str
    digest: str | None = None
    models: tuple[ServedModel, ...] = ()
    loaded: bool = Field(False, description="The models are in memory: it works.")


def job_prefix(job_id: str) -> str:
    """Under it lies everything that is stored of a job."""
    return f"jobs/{job_id}"


def media_key(job_id: str) -> str:
    return f"jobs/{job_id}/media"


def request_key(job_id: str) -> str:
    return f"jobs/{job_id}/request.json"


def result_key(job_id: str, token: int) -> str:
    """Each claim writes a result of its own: a late writer cannot replace that of the claim which ended the job."""
    return f"jobs/{job_id}/result-{token}.json"

"""Data that gateway and workers exchange as JSON: a job's request and record, claims, failures and heartbeats."""

import secrets
from datetime import datetime
from typing import Any, Literal, Self, get_args

from pydantic import ConfigDict, Field

from ml.results import FrozenModel, Options, Probabilities, Result
from ml.vocabulary import MediaKind, Stage

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL_STATUSES: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled"})

WorkerKind = Literal["inference", "io", "live"]
"""Kind of a worker process, and name of the queue that it serves: analysis; downloads and webhooks; live streams."""
WORKER_KINDS: tuple[WorkerKind, ...] = get_args(WorkerKind)


def new_job_id() -> str:
    """Return a new job id. Its 160 random bits make it impossible to guess."""
    return f"job_{secrets.token_urlsafe(20)}"


class Failure(FrozenModel):
    """Reason why a job failed. `message` is safe to show to the caller."""

    code: str
    message: str
    stage: Stage | None = None
    retryable: bool = False


class JobMedia(FrozenModel):
    """The file as it was received."""

    name: str = Field(description="File name given by the caller.")
    size: int = Field(description="Size in bytes.")
    sha256: str


class JobSummary(FrozenModel):
    """Summary of a result for a list of jobs: media, reading of the whole file, number of people."""

    kind: MediaKind
    duration: float | None = Field(description="Seconds; null for an image.")
    emotion: str | None = Field(description="Emotion of the whole file; null without evidence.")
    confidence: float = Field(ge=0, le=1)
    labels_90: tuple[str, ...] | None = None
    probabilities: Probabilities
    people: int = Field(0, description="Number of people; of faces in a photo.")

    @classmethod
    def of_result(cls, result: Result) -> Self:
        """Return the summary of a result document."""
        overall, media = result.overall, result.media
        return cls(
            kind=media.kind,
            duration=media.duration,
            emotion=overall.emotion,
            confidence=overall.confidence,
            labels_90=overall.labels_90,
            probabilities=overall.probabilities,
            people=len(result.people) or (len(result.faces) if media.kind == "image" else 0),
        )


class RequestOrigin(FrozenModel):
    """Request that created a job, for logs and traces. `traceparent`: W3C Trace Context."""

    request_id: str | None = None
    traceparent: str | None = None


class ReanalysisSource(FrozenModel):
    """Finished job with kept media that are analysed again. Its tokens locate its media, features and result."""

    job_id: str
    fetch_token: int = Field(alias="fetched")
    token: int


class JobRequest(FrozenModel):
    """Content of the caller's request. It may quote the media, so it is stored in a blob, never in Redis."""

    media: JobMedia | None = Field(None, description="Uploaded file.")
    url: str | None = Field(None, description="Link from which a worker downloads the media.")
    source: ReanalysisSource | None = Field(None, description="Finished job whose media are analysed again.")
    options: Options = Options()
    transcript: str | None = None
    webhook_url: str | None = None
    batch: tuple[str, ...] = Field((), description="Jobs whose end is notified at once, when all have ended.")
    tags: tuple[str, ...] = ()
    origin: RequestOrigin = RequestOrigin()


class JobChanges(FrozenModel):
    """Changes of a job that its caller made since the request. Stored in a blob, as the request.

    Args:
        tags: Tags in place of those of the request.
        merged: Number of the person who now includes a person that was merged.
    """

    tags: tuple[str, ...] = ()
    merged: dict[int, int] = Field({})


class JobRecord(FrozenModel):
    """State of a job in the job store.

    Args:
        queue: Queue in which the job waits, or from which it was claimed.
        stage: Stage that began last.
        position: Number of jobs of its queue that are claimed before this queued job.
        estimated_wait_seconds: Seconds until the job is claimed at the current pace; 0 if unknown.
        attempts: Number of attempts in this queue.
        token: Fencing token of the newest claim.
        fetch_token: Token of the claim that downloaded the media; 0 if they were uploaded.
        has_webhook: Whether a webhook is sent when the job ends.
        last_event_id: Id of the last event in the job's stream that this record includes.
        edition: Random name of the newest change by the caller; empty without one.
        result_edition: Name of the change that wrote the current result; empty for the result of the analysis.
    """

    id: str
    owner: str
    queue: WorkerKind = "inference"
    status: JobStatus
    stage: Stage | None = None
    progress: float = Field(0.0, ge=0, le=1)
    position: int | None = None
    estimated_wait_seconds: float = 0.0
    attempts: int = 0
    token: int = 0
    fetch_token: int = 0
    has_webhook: bool = False
    cancel_requested: bool = False
    last_event_id: str = "0"
    edition: str = ""
    result_edition: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None


class Claim(FrozenModel):
    """Right to work on a job, or on one part of it. Only the newest claim may write.

    Args:
        token: Fencing token: each claim of the job has a greater one than the claim before.
        attempt: Number of this attempt, from 1.
        fetch_token: Token of the claim that downloaded the media; 0 if they were uploaded.
        waited_seconds: Seconds that the job waited in the queue.
        part: Number of the claimed part; None if the claim is for the whole job.
        split_token: Token of the claim that split the job; 0 if it was not split.
        part_tokens: Tokens of the completed parts, if this claim is to join them.
    """

    job_id: str
    token: int
    attempt: int
    fetch_token: int = 0
    waited_seconds: float = 0.0
    part: int | None = None
    split_token: int = 0
    part_tokens: tuple[int, ...] = ()

    @property
    def member(self) -> str:
        """Name of the job or part in queues and leases."""
        return self.job_id if self.part is None else f"{self.job_id}#{self.part:04}"


class ModelLicence(FrozenModel):
    """`commercial`: whether the weights may be used commercially; `note` says why."""

    name: str
    commercial: bool
    note: str


class ServedModel(FrozenModel):
    """Model that a worker has loaded. `role`: face, audio, text, fusion or whisper."""

    role: str
    name: str
    version: int | None = Field(description="Null for a model that was not published in this model store.")
    labels: tuple[str, ...]
    metrics: dict[str, Any] = Field(
        description="Figures measured when it was published, by data set; those of one language name it."
    )
    licence: ModelLicence | None
    languages: tuple[str, ...] = Field(
        (), description="ISO 639 codes of the languages that a text model reads; it is not asked about others."
    )


class BundleRejection(FrozenModel):
    """Reason why a worker does not serve the published bundle. `digest`: None if the bundle could not be read."""

    digest: str | None
    reason: str


class Heartbeat(FrozenModel):
    """State that a worker process reports periodically. `digest` identifies the content of the bundle."""

    model_config = ConfigDict(extra="ignore")  # a newer worker may report more

    worker: str
    kinds: tuple[WorkerKind, ...] = ("inference",)
    bundle: str
    digest: str | None = None
    models: tuple[ServedModel, ...] = ()
    loaded: bool = Field(False, description="The worker takes jobs; its models, if it needs any, are in memory.")
    refused: BundleRejection | None = None

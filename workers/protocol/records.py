"""What crosses between gateway and worker: a job's record, its request, a failure. All of it JSON."""

import re
import secrets
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field

from ml.results import Frozen, Options
from ml.vocabulary import Stage

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[JobStatus] = frozenset({"succeeded", "failed", "cancelled"})

WorkerKind = Literal["inference", "io", "live"]
"""What a worker process does, and the queue of the jobs that wait for it: analysis; links and webhooks; streams."""
KINDS: tuple[WorkerKind, ...] = get_args(WorkerKind)
_ARTIFACT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)


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


class Origin(Frozen):
    """The request that a job came with, for logs and traces. `traceparent`: W3C Trace Context."""

    request_id: str | None = None
    traceparent: str | None = None


class SourceJob(Frozen):
    """A kept job that is read again: where its media and its evidence lie."""

    job_id: str
    fetched: int
    token: int


class JobRequest(Frozen):
    """What the caller sent. It may hold words of the media and lies in a blob, never in Redis."""

    media: JobMedia | None = Field(None, description="Of an upload.")
    url: str | None = Field(None, description="Where to fetch the media from.")
    source: SourceJob | None = Field(None, description="Whose media are read again.")
    options: Options = Options()
    transcript: str | None = None
    webhook_url: str | None = None
    tags: tuple[str, ...] = ()
    origin: Origin = Origin()


class JobRecord(Frozen):
    """What the job store knows of a job.

    `queue`: where it waits, or from where it was claimed. `stage`: the last that was begun. `position`: of a queued
    job, how many of its queue are claimed before it. `waits`: seconds until it is claimed, as jobs end now; 0 where
    that is not known. `attempts`: in this queue. `token`: of the newest claim.
    `fetched`: the token of the claim that fetched the media; 0 where it was uploaded. `webhook`: somebody is to be told
    of its end. `event`: id of the last change in the job's stream that this record knows of.
    """

    id: str
    owner: str
    queue: WorkerKind = "inference"
    status: JobStatus
    stage: Stage | None = None
    progress: float = Field(0.0, ge=0, le=1)
    position: int | None = None
    waits: float = 0.0
    attempts: int = 0
    token: int = 0
    fetched: int = 0
    webhook: bool = False
    cancel_requested: bool = False
    event: str = "0"
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None


class Claim(Frozen):
    """The right to work on a job, or on one part of it. Only the newest claim's token may write. `fetched`: as the
    record's. `waited`: seconds in the queue before it. Of a job in parts: `split`, the token of the claim that split
    it; `part`, which one this claim is for; `parts`, the tokens of all that are done, when they are to be joined."""

    job_id: str
    token: int
    attempt: int
    fetched: int = 0
    waited: float = 0.0
    part: int | None = None
    split: int = 0
    parts: tuple[int, ...] = ()

    @property
    def member(self) -> str:
        """How queues and leases name it."""
        return self.job_id if self.part is None else f"{self.job_id}#{self.part:04}"


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


class Refusal(Frozen):
    """Why a worker does not serve the bundle that is published. `digest`: null where it could not even be read."""

    digest: str | None
    reason: str


class Heartbeat(Frozen):
    """What one worker process says of itself, again and again while it lives. `digest` names the bundle's content."""

    model_config = ConfigDict(extra="ignore")  # a newer worker may say more

    worker: str
    kinds: tuple[WorkerKind, ...] = ("inference",)
    bundle: str
    digest: str | None = None
    models: tuple[ServedModel, ...] = ()
    loaded: bool = Field(False, description="It works; of one with models: they are in memory.")
    refused: Refusal | None = None


def job_prefix(job_id: str) -> str:
    """Under it lies everything that is stored of a job."""
    return f"jobs/{job_id}"


def media_prefix(job_id: str) -> str:
    """Under it lie the media, uploaded or fetched."""
    return f"jobs/{job_id}/media"


def media_key(job_id: str, fetched: int = 0) -> str:
    """Each claim fetches into a place of its own: a late one cannot replace what another reads."""
    return f"{media_prefix(job_id)}/{fetched}"


def fetched_key(job_id: str, fetched: int) -> str:
    """What that claim says of the file that it fetched (`JobMedia`)."""
    return f"jobs/{job_id}/fetched-{fetched}.json"


def parts_prefix(job_id: str) -> str:
    """Under it lies what the parts of a long job share and give, until it ends."""
    return f"jobs/{job_id}/parts"


def shared_key(job_id: str, split: int, name: str) -> str:
    """What the claim that split the job leaves for its parts."""
    return f"{parts_prefix(job_id)}/{split}/{name}"


def part_key(job_id: str, split: int, part: int, token: int) -> str:
    """The evidence of a part, from one claim of it."""
    return f"{parts_prefix(job_id)}/{split}/{part:04}-{token}"


def kept_prefix(job_id: str, token: int) -> str:
    """Under it lies what is kept beside the media, so that they can be read again: what the models observed, and the
    decoded sound. Each claim writes its own, as with results."""
    return f"jobs/{job_id}/kept-{token}"


def request_key(job_id: str) -> str:
    return f"jobs/{job_id}/request.json"


def result_key(job_id: str, token: int) -> str:
    """Each claim writes a result of its own: a late writer cannot replace that of the claim which ended the job."""
    return f"jobs/{job_id}/result-{token}.json"


def artifacts_prefix(job_id: str, token: int) -> str:
    """Under it lie the artifacts that this claim made, fenced as its result is."""
    return f"jobs/{job_id}/artifacts-{token}"


def artifact_key(job_id: str, token: int, name: str) -> str:
    """Where an artifact lies. Raises ValueError for a name that is none (`is_artifact_name`)."""
    if not is_artifact_name(name):
        raise ValueError(f"{name!r} is no name of an artifact")
    return f"{artifacts_prefix(job_id, token)}/{name}"


def is_artifact_name(name: str) -> bool:
    """Whether an artifact may be called so: `annotated.mp4`, `heatmap-1-4.25.png`; never a path."""
    return _ARTIFACT_NAME.fullmatch(name) is not None and not name.endswith(".part")

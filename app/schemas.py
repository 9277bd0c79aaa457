"""What the API answers with: pydantic models, from which the OpenAPI document is made."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from app.errors import ERRORS, PROBLEM_TYPE, Problem
from ml.results import Frozen, Options
from ml.vocabulary import Stage
from workers.protocol.records import JobMedia, JobStatus, ServedModel


class Links(Frozen):
    """Paths of this API."""

    self: str
    result: str
    artifacts: str
    media: str | None = Field(description="Null where the media are not there, or no longer.")
    events: str
    cancel: str


class Job(Frozen):
    """One file, on its way from upload to result."""

    id: str
    status: JobStatus
    stage: Stage | None = Field(description="What a running job is at; of an ended one, where it ended.")
    progress: float = Field(ge=0, le=1)
    position: int | None = Field(description="Of a queued job: how many are done before it; 0 is next.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When an ended job and its result are forgotten.")
    media: JobMedia | None
    options: Options
    tags: tuple[str, ...]
    error: Problem | None = Field(description="Why a job failed.")
    links: Links


class JobBatch(Frozen):
    """The jobs of one upload, in the order of its files."""

    jobs: tuple[Job, ...]


class JobList(Frozen):
    """Some of the caller's jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = Field(description="Ask with it for those that follow; null at the end.")


class Artifact(Frozen):
    """A file that was made beside the result: an annotated video, a heatmap, a thumbnail."""

    name: str
    media_type: str
    size: int = Field(description="Bytes.")
    link: str


class ArtifactList(Frozen):
    artifacts: tuple[Artifact, ...]


class Change(Frozen):
    """The data of one server-sent event."""

    status: JobStatus | Literal["deleted"]
    stage: Stage | None
    progress: float = Field(ge=0, le=1)


class Ticket(Frozen):
    """Stands for the caller's key in `?ticket=`, for what cannot send a header."""

    ticket: str
    expires_at: datetime


class Model(ServedModel):
    """A model that answers now."""

    loaded: int = Field(ge=1, description="How many worker processes hold it in memory.")


class ServedBundle(Frozen):
    """Models that are served together; two of one digest are the same."""

    name: str
    digest: str
    loaded: int = Field(ge=1, description="How many worker processes hold it in memory.")


class RefusedBundle(Frozen):
    """A published bundle that workers do not serve: they answer with what they served before."""

    name: str
    digest: str | None = Field(description="Null where it could not be read.")
    reason: str
    workers: int = Field(ge=1, description="How many worker processes refuse it.")


class ModelList(Frozen):
    models: tuple[Model, ...]
    bundles: tuple[ServedBundle, ...]
    refused: tuple[RefusedBundle, ...] = ()


class Health(Frozen):
    status: str


CALLERS = ("unauthorized", "rate_limited", "queue_unavailable")
"""The codes of every route that asks who calls."""


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a route that may answer with these codes, each with an example."""
    documented: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = ERRORS[code]
        response = documented.setdefault(kind.status, {"description": kind.title, "content": _problem_content()})
        if kind.title not in response["description"]:
            response["description"] += f", or {kind.title[0].lower()}{kind.title[1:]}"
        example = Problem.from_code(code, kind.title + ".").model_dump(exclude_none=True)
        response["content"][PROBLEM_TYPE]["examples"][code] = {"summary": kind.title, "value": example}
    return documented


def default_problem_response() -> dict[int | str, dict[str, Any]]:
    """The OpenAPI response for whatever else goes wrong."""
    return {"default": {"description": "Any other error", "content": _problem_content()}}


def _problem_content() -> dict[str, Any]:
    return {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}}

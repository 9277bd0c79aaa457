"""Response models of the API, from which the OpenAPI document is made."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from app.errors import ERRORS, PROBLEM_MEDIA_TYPE, Problem, QueueUnavailable, RateLimited, Unauthorized
from ml.errors import AffectError
from ml.reports.report import sanitize
from ml.results import MAX_NAME_LENGTH, FrozenModel, Options, PersonNumber
from ml.vocabulary import Stage
from workers.protocol.records import JobMedia, JobStatus, JobSummary, ServedModel


class Links(FrozenModel):
    """Paths of a job in this API."""

    self: str
    result: str
    artifacts: str
    media: str | None = Field(description="Null if the media are not stored, or no longer.")
    events: str
    cancel: str


class Job(FrozenModel):
    """The analysis of one file, from upload to result."""

    id: str
    status: JobStatus
    stage: Stage | None = Field(description="Current stage of a running job; the last stage of an ended job.")
    progress: float = Field(ge=0, le=1, description="Progress from 0 to 1.")
    position: int | None = Field(description="Number of jobs ahead of a queued job; 0 is next.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="Time at which an ended job and its result are deleted.")
    media: JobMedia | None
    options: Options
    tags: tuple[str, ...]
    summary: JobSummary | None = Field(None, description="Summary of the result; null without one.")
    error: Problem | None = Field(description="Reason why the job failed.")
    links: Links


class JobBatch(FrozenModel):
    """The jobs of one upload, in the order of its files."""

    jobs: tuple[Job, ...]


class JobList(FrozenModel):
    """One page of the caller's jobs, newest first."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = Field(description="Value of `cursor` for the next page; null on the last page.")


class Artifact(FrozenModel):
    """A file that was created in addition to the result: an annotated video, a heatmap, a thumbnail."""

    name: str
    media_type: str
    size: int = Field(description="Size in bytes.")
    link: str = Field(description="Path of the file in this API.")


class ArtifactList(FrozenModel):
    """The artifacts of a job."""

    artifacts: tuple[Artifact, ...]


class Change(FrozenModel):
    """The data of one server-sent event: a job's state after a change."""

    status: JobStatus | Literal["deleted"]
    stage: Stage | None
    progress: float = Field(ge=0, le=1)


MAX_TAG_CHARACTERS = 64
MAX_TAGS = 16
"""Maximum number of tags of a job."""
MAX_CHANGES = 100
"""Maximum number of merges, of splits, and of names in one change."""


def _named(name: str) -> str | None:
    """Return a name as one line; null if nothing is left of it."""
    return sanitize(name) or None


PersonName = Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH), AfterValidator(_named)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_TAG_CHARACTERS)]


class PersonChange(FrozenModel):
    """New properties of a person."""

    name: PersonName | None = Field(description="Name; null or an empty text removes it.")


PeopleChanges = Annotated[
    dict[PersonNumber, PersonChange | PersonName | None],
    Field(max_length=MAX_CHANGES, json_schema_extra={"propertyNames": {"pattern": "^[1-9][0-9]{0,8}$"}}),
]


class JobChange(FrozenModel):
    """Change of a job. What is left out stays as it is. Merges come first, then splits, then names."""

    people: PeopleChanges | None = Field(
        None,
        description="Names of people by number: an object with `name`, or the name itself. Null in place of the "
        "object restores the people as the analysis found them.",
    )
    merge: tuple[Annotated[tuple[PersonNumber, ...], Field(min_length=2, max_length=MAX_CHANGES)], ...] = Field(
        (),
        max_length=MAX_CHANGES,
        description="Groups of people who are one. The lowest number of a group stays.",
    )
    split: tuple[int, ...] = Field(
        (),
        max_length=MAX_CHANGES,
        description="Numbers of face tracks that are another person than the rest of their person. This person gets "
        "the next free number.",
    )
    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] | None = Field(
        None, description="All tags of the job from now on."
    )


TicketPurpose = Literal["events", "media", "artifacts", "stream"]
"""Things that a ticket can open: the events, the media or the artifacts of a job, or a live stream."""


class TicketScope(FrozenModel):
    """Purpose of a ticket. The first use of the ticket settles what is left open here."""

    purpose: TicketPurpose | None = Field(None, description="What the ticket opens.")
    job: str | None = Field(None, max_length=64, description="Id of the job. Not used for `stream`.")


class Ticket(FrozenModel):
    """A substitute for the caller's key: `?ticket=`, for clients that cannot send a header."""

    ticket: str
    expires_at: datetime


class Model(ServedModel):
    """A model that is served now."""

    loaded: int = Field(ge=1, description="Number of worker processes that have it in memory.")


class ServedBundle(FrozenModel):
    """Models that are served together. Bundles with the same digest are identical."""

    name: str
    digest: str
    loaded: int = Field(ge=1, description="Number of worker processes that have it in memory.")


class RefusedBundle(FrozenModel):
    """A published bundle that workers reject: they keep serving their previous bundle."""

    name: str
    digest: str | None = Field(description="Null if the bundle could not be read.")
    reason: str
    workers: int = Field(ge=1, description="Number of worker processes that reject it.")


class ModelList(FrozenModel):
    """The models and bundles that workers serve."""

    models: tuple[Model, ...]
    bundles: tuple[ServedBundle, ...]
    refused: tuple[RefusedBundle, ...] = ()


class Health(FrozenModel):
    """State of the process or service."""

    status: str


CALLER_ERRORS = (Unauthorized, RateLimited, QueueUnavailable)
"""Errors of every route that identifies the caller."""


def problem_responses(*errors: type[AffectError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that can raise these errors, with an example of each."""
    documented: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        spec = ERRORS[error.code]
        response = documented.setdefault(spec.status, {"description": spec.title, "content": _problem_content()})
        if spec.title not in response["description"]:
            response["description"] += f", or {spec.title[0].lower()}{spec.title[1:]}"
        example = Problem.from_code(error.code, f"{spec.title}.").model_dump(exclude_none=True)
        response["content"][PROBLEM_MEDIA_TYPE]["examples"][error.code] = {"summary": spec.title, "value": example}
    return documented


def default_problem_response() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response of all other errors."""
    return {"default": {"description": "Any other error", "content": _problem_content()}}


def _problem_content() -> dict[str, Any]:
    return {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}}

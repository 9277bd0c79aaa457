"""Jobs: submit media, poll, fetch the result."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.dependencies import JobEditorDep, JobReader, JobsDep, Owner, SettingsDep, SubmissionDep, json_body
from app.errors import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    InvalidOptions,
    PreconditionFailed,
    TooManyJobs,
    ValidationFailed,
)
from app.http.bodies import json_request_body
from app.http.multipart import parse_boundary
from app.http.negotiation import Export, ResultFormat, export_responses, versions_in
from app.schemas import (
    CALLER_ERRORS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    Job,
    JobBatch,
    JobChange,
    JobList,
    PersonChange,
    problem_responses,
)
from app.services.job_editor import JobEdit
from app.services.job_form import upload_limits
from app.services.jobs import LOOKUP_ERRORS, MAX_WAIT_SECONDS, RESULT_ERRORS
from app.services.results import MEDIA_TYPES
from app.services.shares import shared_view
from ml.errors import FileTooLarge, MediaInvalid, UnsupportedMedia, UnsupportedTranscript
from ml.people_edits import PeopleEdit
from ml.reports.caption_encoding import ACCEPTED
from ml.reports.formats import Rows
from ml.results import PersonNumber, Result
from workers.protocol.blobs.storage_backend import StorageError, StorageFull
from workers.protocol.net.ssrf import MAX_URL_LENGTH, ForbiddenUrl
from workers.protocol.records import JobStatus
from workers.protocol.store.webhook_queue import DeliveryLog

MAX_PAGE_SIZE = 100
MAX_IF_MATCH_CHARACTERS = 1000

router = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    responses=problem_responses(*CALLER_ERRORS, StorageError),
)

JobId = Annotated[str, Path(description="Id of a job, from `POST /v1/jobs`.", examples=["job_3J5k0zR8bT1mYwQe"])]

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "oneOf": [{"required": ["file"]}, {"required": ["url"]}, {"required": ["source_job"]}],
                    "properties": {
                        "file": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Photo, audio or video file. Several files are a batch: one job for each.",
                        },
                        "url": {
                            "type": "string",
                            "format": "uri",
                            "pattern": "^https?://",
                            "maxLength": MAX_URL_LENGTH,
                            "description": "Instead of a file: a public http or https address to download it from. "
                            "If the download fails, the job fails with `forbidden_url` or `fetch_failed`.",
                        },
                        "source_job": {
                            "type": "string",
                            "pattern": "^[ -~]+$",
                            "maxLength": 256,
                            "description": "Instead of a file: the id of one of your jobs that succeeded with "
                            "`keep_media`. Its media are analysed again with other options, and earlier observations "
                            "are reused if the options permit.",
                        },
                        "options": {"$ref": "#/components/schemas/Options"},
                        "transcript": {
                            "type": "string",
                            "pattern": r"\w",
                            "description": f"Transcript that replaces speech recognition, as a field or as a file: "
                            f"{ACCEPTED}. The content decides, not the name. Names of speakers before a colon and "
                            "[descriptions of sounds] are left out. Single file only.",
                        },
                        "webhook_url": {
                            "type": "string",
                            "format": "uri",
                            "pattern": "^https?://",
                            "maxLength": MAX_URL_LENGTH,
                            "description": "Address that is notified by a signed POST (Standard Webhooks) when the job "
                            "has ended.",
                        },
                        "tag": {
                            "type": "array",
                            "maxItems": MAX_TAGS,
                            "items": {"type": "string", "pattern": r"\S", "maxLength": MAX_TAG_CHARACTERS},
                        },
                    },
                },
                "encoding": {
                    "options": {"contentType": "application/json"},
                    "file": {"contentType": ", ".join(MEDIA_TYPES.values())},
                },
            }
        },
    }
}


@router.post(
    "",
    status_code=202,
    response_model=Job | JobBatch,
    openapi_extra=_FORM,
    responses=problem_responses(
        InvalidOptions,
        ValidationFailed,
        ForbiddenUrl,
        FileTooLarge,
        UnsupportedMedia,
        UnsupportedTranscript,
        MediaInvalid,
        IdempotencyInProgress,
        IdempotencyMismatch,
        *RESULT_ERRORS,
        TooManyJobs,
        StorageFull,
    ),
)
async def create_jobs(
    request: Request,
    response: Response,
    submission: SubmissionDep,
    owner: Owner,
    settings: SettingsDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r'^("[!#-~]{1,255}"|[!#-~]{1,255})$',
            description="A key that you choose, new for each request that should create a new job. If the same request "
            "is sent again with the key within a day, it gets the same job. With other files or fields it fails with "
            "`idempotency_mismatch`, while the first request is in progress with `idempotency_in_progress`.",
        ),
    ] = None,
    content_type: Annotated[str | None, Header(include_in_schema=False)] = None,
    content_length: Annotated[int | None, Header(include_in_schema=False, ge=0)] = None,
) -> Job | JobBatch:
    """Submit media, or a link to them, for analysis. The request is validated while it arrives.

    One file creates one job, several create a batch. An empty file is `media_invalid`. A file whose first bytes are not
    those of an image, audio or video format is `unsupported_media`. Errors that only decoding reveals fail the job.
    """
    boundary = parse_boundary(content_type)
    max_bytes = upload_limits(settings).max_body_bytes
    if content_length is not None and content_length > max_bytes:
        raise FileTooLarge(f"The request has more than {max_bytes} bytes.")
    key = idempotency_key.strip('"') if idempotency_key else None
    jobs = await submission.submit(owner, request.stream(), boundary, key)
    if len(jobs) > 1:
        return JobBatch(jobs=jobs)
    response.headers["Location"] = jobs[0].links.self
    return jobs[0]


@router.get("", responses=problem_responses(ValidationFailed))
async def list_jobs(
    jobs: JobsDep,
    owner: Owner,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    tag: Annotated[
        str | None, Query(min_length=1, max_length=MAX_TAG_CHARACTERS, description="Only jobs with this tag.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="Maximum number of jobs per page.")] = 20,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,15}$", description="`next_cursor` of the previous page.")
    ] = None,
) -> JobList:
    """List the caller's own jobs, newest first. A page may have fewer than `limit` jobs although more follow: only a
    null `next_cursor` marks the last page."""
    return await jobs.list_jobs(owner, status, tag.strip() if tag else None, limit, int(cursor) if cursor else None)


@router.get("/{job_id}", responses=problem_responses(*LOOKUP_ERRORS, ValidationFailed))
async def get_job(
    job_id: JobId,
    response: Response,
    jobs: JobsDep,
    reader: JobReader,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a change of state (long poll).")
    ] = 0,
) -> Job:
    """Return the job's current state. Until it has ended, `Retry-After` contains the seconds after which to ask again;
    for a queued job it is an estimate of the waiting time."""
    job, seconds = await jobs.poll(reader.owner, job_id, wait)
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return shared_view(job, reader.share) if reader.share else job


@router.get(
    "/{job_id}/result",
    response_model=Result,
    responses=export_responses() | problem_responses(*RESULT_ERRORS, MediaInvalid, ValidationFailed),
)
async def get_result(
    job_id: JobId,
    jobs: JobsDep,
    reader: JobReader,
    format: Annotated[
        ResultFormat | None, Query(description="Format of the result. Default: chosen by `Accept`, JSON first.")
    ] = None,
    rows: Annotated[
        Rows | None,
        Query(
            description="Content of a row of the CSV (`windows`, `faces`, `moments`, `words`, `people`), or of a cue "
            "of the subtitles (`speech`, `windows`)."
        ),
    ] = None,
    bom: Annotated[
        bool, Query(description="Begin a CSV with a byte order mark: Excel needs it, and pandas and R accept it.")
    ] = False,
    person: Annotated[
        PersonNumber | None,
        Query(description="Number of a person: only what the result says of this person, in any format."),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """Return the result document, or its content as a table, subtitles or annotations. If the job failed, status 422
    with the job's `error`. The `ETag` of the whole document names its version, for changes of the job."""
    export = Export.negotiate(format, rows, accept, bom=bom, person=person)
    document, version = await jobs.versioned_result(reader.owner, job_id)
    name = await jobs.media_name(reader.owner, job_id)
    content = await run_in_threadpool(export.write, document, name)
    headers = {"Content-Disposition": export.disposition(name), "Vary": "Accept"}
    if export.is_whole_document:
        headers["ETag"] = f'"{version}"'
    return Response(content, headers=headers, media_type=export.content_type)


@router.get("/{job_id}/deliveries", responses=problem_responses(*LOOKUP_ERRORS))
async def get_deliveries(job_id: JobId, jobs: JobsDep, owner: Owner) -> DeliveryLog:
    """List the delivery attempts of the job's webhook."""
    return await jobs.deliveries(owner, job_id)


@router.patch(
    "/{job_id}",
    openapi_extra=json_request_body(JobChange),
    responses=problem_responses(*RESULT_ERRORS, MediaInvalid, PreconditionFailed, ValidationFailed, FileTooLarge),
)
async def change_job(
    job_id: JobId,
    response: Response,
    editor: JobEditorDep,
    owner: Owner,
    change: Annotated[JobChange, json_body(JobChange)],
    if_match: Annotated[
        str | None,
        Header(
            max_length=MAX_IF_MATCH_CHARACTERS,
            description="`ETag` of the result that the change is based on. If the result has changed since then, the "
            "request fails with `precondition_failed`.",
        ),
    ] = None,
) -> Job:
    """Change the tags of a job, and the people of its result: give them names, merge two who are one person, split one
    who is two. Result, exports and later readers follow; the artifacts, which exist already, do not. People can be
    changed once the job has succeeded. A request that is sent twice changes nothing more."""
    job, version = await editor.edit(owner, job_id, _edit_of(change), versions_in(if_match))
    response.headers["ETag"] = f'"{version}"'
    return job


def _edit_of(change: JobChange) -> JobEdit:
    names = {
        number: value.name if isinstance(value, PersonChange) else value
        for number, value in (change.people or {}).items()
    }
    people = PeopleEdit(change.merge, change.split, names) if change.merge or change.split or names else None
    return JobEdit(change.tags, people, restores_people="people" in change.model_fields_set and change.people is None)


@router.post("/{job_id}/cancel", responses=problem_responses(*LOOKUP_ERRORS))
async def cancel_job(job_id: JobId, jobs: JobsDep, owner: Owner) -> Job:
    """Stop a queued job at once, and a running one at its next check. An ended job stays as it is."""
    return await jobs.cancel(owner, job_id)


@router.delete("/{job_id}", status_code=204, responses=problem_responses(*LOOKUP_ERRORS))
async def delete_job(job_id: JobId, jobs: JobsDep, owner: Owner) -> None:
    """Cancel the job and delete its media, result and record."""
    await jobs.delete(owner, job_id)

"""Jobs: post media, poll, fetch the result."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.dependencies import JobsOf, Owner, SettingsOf
from app.http.multipart import MAX_REPEATS, parse_boundary
from app.http.negotiation import Export, ResultFormat, export_responses
from app.schemas import CALLERS, Job, JobBatch, JobList, problem_responses
from app.services.job_form import MAX_TAG_CHARACTERS
from app.services.jobs import LONGEST_WAIT
from app.services.results import MEDIA_TYPES
from ml.errors import FileTooLarge
from ml.reports.formats import Rows
from ml.results import Result
from workers.protocol.net.ssrf import MOST_URL_CHARACTERS
from workers.protocol.records import JobStatus
from workers.protocol.store.webhook_queue import DeliveryLog

MOST_LISTED = 100

router = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    responses=problem_responses(*CALLERS, "storage_unavailable"),
)

JobId = Annotated[str, Path(description="As `POST /v1/jobs` gave it.", examples=["job_3J5k0zR8bT1mYwQe"])]

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
                            "description": "Photo, recording or video. Several are a batch: one job for each.",
                        },
                        "url": {
                            "type": "string",
                            "format": "uri",
                            "pattern": "^https?://",
                            "maxLength": MOST_URL_CHARACTERS,
                            "description": "In place of a file: where to fetch it from (http or https, a public "
                            "address). The job is `forbidden_url` or `fetch_failed` where that is found out later.",
                        },
                        "source_job": {
                            "type": "string",
                            "pattern": "^[ -~]+$",
                            "maxLength": 256,
                            "description": "In place of a file: the id of a job of your own that has succeeded with "
                            "`keep_media`. It is read again with other options; what was observed is not observed "
                            "again, where the options allow.",
                        },
                        "options": {"$ref": "#/components/schemas/Options"},
                        "transcript": {
                            "type": "string",
                            "pattern": r"\w",
                            "description": "Text, SRT or WebVTT in place of speech recognition; with one file only.",
                        },
                        "webhook_url": {
                            "type": "string",
                            "format": "uri",
                            "pattern": "^https?://",
                            "maxLength": MOST_URL_CHARACTERS,
                            "description": "Is told when the job has ended, by a signed POST (Standard Webhooks).",
                        },
                        "tag": {
                            "type": "array",
                            "maxItems": MAX_REPEATS,
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
        "invalid_options",
        "validation_failed",
        "forbidden_url",
        "file_too_large",
        "unsupported_media",
        "media_invalid",
        "idempotency_in_progress",
        "idempotency_mismatch",
        "job_not_found",
        "job_unfinished",
        "job_cancelled",
        "job_expired",
        "too_many_jobs",
        "storage_full",
    ),
)
async def create_jobs(
    request: Request,
    response: Response,
    jobs: JobsOf,
    owner: Owner,
    settings: SettingsOf,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r'^("[!#-~]{1,255}"|[!#-~]{1,255})$',
            description="Of the caller's choice, new for each request that is to make a new job: when the same request "
            "is sent again with the key, within a day, it gets the same job. With other files or fields it is "
            "`idempotency_mismatch`, while the first is being answered `idempotency_in_progress`.",
        ),
    ] = None,
    content_type: Annotated[str | None, Header(include_in_schema=False)] = None,
    content_length: Annotated[int | None, Header(include_in_schema=False, ge=0)] = None,
) -> Job | JobBatch:
    """Accepts media for analysis, field by field and block by block while it arrives; or a link to them.

    One file gives one job, several give a batch. An empty file is `media_invalid`; what the first bytes do not show
    as an image, a recording or a video is `unsupported_media`. What only decoding shows fails the job.
    """
    boundary = parse_boundary(content_type)
    most = settings.upload_limits.body_bytes
    if content_length is not None and content_length > most:
        raise FileTooLarge(f"The request has more than {most} bytes.")
    key = idempotency_key.strip('"') if idempotency_key else None
    made = await jobs.submit(owner, request.stream(), boundary, key)
    if len(made) > 1:
        return JobBatch(jobs=made)
    response.headers["Location"] = made[0].links.self
    return made[0]


@router.get("", responses=problem_responses("validation_failed"))
async def list_jobs(
    jobs: JobsOf,
    owner: Owner,
    status: Annotated[JobStatus | None, Query(description="Only jobs of this status.")] = None,
    tag: Annotated[
        str | None, Query(min_length=1, max_length=MAX_TAG_CHARACTERS, description="Only jobs with this tag.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED, description="Most jobs of one answer.")] = 20,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,15}$", description="The `next_cursor` of the answer before.")
    ] = None,
) -> JobList:
    """The caller's own jobs, newest first. An answer may hold fewer than `limit` though more follow: only a null
    `next_cursor` is the end."""
    return await jobs.page(owner, status, tag.strip() if tag else None, limit, int(cursor) if cursor else None)


@router.get("/{job_id}", responses=problem_responses("job_not_found", "job_expired", "validation_failed"))
async def get_job(
    job_id: JobId,
    response: Response,
    jobs: JobsOf,
    owner: Owner,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a change of state (long poll).")
    ] = 0,
) -> Job:
    """The job as it stands. Until it has ended, `Retry-After` says when to ask again: of a queued job, about when its
    turn comes, by how fast jobs end."""
    job, seconds = await jobs.poll(owner, job_id, wait)
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return job


@router.get(
    "/{job_id}/result",
    response_model=Result,
    responses=export_responses()
    | problem_responses(
        "job_not_found", "job_unfinished", "job_cancelled", "job_expired", "media_invalid", "validation_failed"
    ),
)
async def get_result(
    job_id: JobId,
    jobs: JobsOf,
    owner: Owner,
    format: Annotated[
        ResultFormat | None, Query(description="How to write the result; else `Accept` decides, and JSON is first.")
    ] = None,
    rows: Annotated[
        Rows | None,
        Query(
            description="What a row of the CSV stands for (`windows`, `faces`, `moments`, `words`), or a cue of the "
            "subtitles (`speech`, `windows`)."
        ),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The result document, or what it says as a table, subtitles or annotations. Of a failed job: 422 with the problem
    that `error` of the job shows."""
    export = Export.negotiate(format, rows, accept)
    document = await jobs.result(owner, job_id)
    name = await jobs.media_name(owner, job_id)
    content = await run_in_threadpool(export.write, document, name)
    headers = {"Content-Disposition": export.disposition(name), "Vary": "Accept"}
    return Response(content, headers=headers, media_type=export.content_type)


@router.get("/{job_id}/deliveries", responses=problem_responses("job_not_found", "job_expired"))
async def get_deliveries(job_id: JobId, jobs: JobsOf, owner: Owner) -> DeliveryLog:
    """What became of the job's webhook, attempt by attempt."""
    return await jobs.deliveries(owner, job_id)


@router.post("/{job_id}/cancel", responses=problem_responses("job_not_found", "job_expired"))
async def cancel_job(job_id: JobId, jobs: JobsOf, owner: Owner) -> Job:
    """Stops queued work at once, and running work as soon as it looks up. An ended job stays as it is."""
    return await jobs.cancel(owner, job_id)


@router.delete("/{job_id}", status_code=204, responses=problem_responses("job_not_found", "job_expired"))
async def delete_job(job_id: JobId, jobs: JobsOf, owner: Owner) -> None:
    """Cancels the job, and erases its media, result and record."""
    await jobs.delete(owner, job_id)

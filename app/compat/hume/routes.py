"""Batch jobs, as Hume's SDK submits and reads them."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from app.compat.hume.batches import Direction, JobFilter, SortBy, When
from app.compat.hume.dependencies import HumeBatchesDep, HumeOwner, HumeSubmissionDep
from app.compat.hume.errors import HumeRoute, error_responses
from app.compat.hume.requests import warnings_of
from app.compat.hume.schemas import HumeJob, HumeJobId, HumeRequest, HumeSourceResult, Status
from app.compat.hume.submission import REQUEST_FIELD, parse_request
from app.dependencies import SettingsDep
from app.errors import InvalidOptions, TooManyJobs, ValidationFailed
from app.http.bodies import body_schema, read_json_bytes
from app.http.multipart import parse_boundary
from app.schemas import CALLER_ERRORS
from app.services.jobs import LOOKUP_ERRORS, RESULT_ERRORS
from ml.errors import FileTooLarge, MediaInvalid, UnsupportedMedia, UnsupportedTranscript
from workers.protocol.blobs.storage_backend import StorageError, StorageFull
from workers.protocol.net.ssrf import ForbiddenUrl

MAX_LIMIT = 500
BLOCK_BYTES = 1 << 20
_MULTIPART = re.compile(r"multipart/", re.IGNORECASE)

router = APIRouter(
    prefix="/v0/batch/jobs",
    tags=["hume-compatible"],
    route_class=HumeRoute,
    responses=error_responses(*CALLER_ERRORS, StorageError),
)

BatchId = Annotated[str, Path(max_length=64, description="Id of a batch job, from `POST /v0/batch/jobs`.")]

_REQUEST = body_schema(HumeRequest)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Media, texts (`.txt`), or archives of them (`.zip`, `.tar.gz`).",
                        },
                        REQUEST_FIELD: _REQUEST,
                    },
                },
                "encoding": {REQUEST_FIELD: {"contentType": "application/json"}},
            },
        },
    }
}


@router.post(
    "",
    openapi_extra=_BODY,
    responses=error_responses(
        ValidationFailed,
        InvalidOptions,
        ForbiddenUrl,
        FileTooLarge,
        UnsupportedMedia,
        UnsupportedTranscript,
        MediaInvalid,
        TooManyJobs,
        StorageFull,
    ),
)
async def start_hume_job(
    request: Request, submission: HumeSubmissionDep, owner: HumeOwner, settings: SettingsDep
) -> HumeJobId:
    """Start a job over files, archives, links and texts. Models that this service does not have are refused."""
    content_type = request.headers.get("content-type", "")
    if _MULTIPART.match(content_type):
        batch_id, wish = await submission.submit_form(owner, request.stream(), parse_boundary(content_type))
    else:
        body = await read_json_bytes(request, settings.max_transcript_bytes)
        wish = await run_in_threadpool(parse_request, body)
        batch_id = await submission.submit(owner, wish)
    return HumeJobId(job_id=batch_id, warnings=warnings_of(wish))


@router.get("", response_model_exclude_none=True, responses=error_responses(ValidationFailed))
async def list_hume_jobs(
    batches: HumeBatchesDep,
    owner: HumeOwner,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Maximum number of jobs.")] = 50,
    status: Annotated[list[Status], Query(description="Only jobs with one of these statuses.")] = [],  # noqa: B006
    when: Annotated[When, Query(description="Which side of `timestamp_ms`.")] = "created_before",
    timestamp_ms: Annotated[int | None, Query(ge=0, le=10**15, description="Milliseconds since 1970.")] = None,
    sort_by: Annotated[SortBy, Query(description="Time by which jobs are sorted.")] = "created",
    direction: Annotated[Direction, Query(description="Newest first (`desc`) or last (`asc`).")] = "desc",
) -> list[HumeJob]:
    """List jobs, among the newest thousand."""
    return await batches.list_jobs(owner, JobFilter(limit, status, when, timestamp_ms, sort_by, direction))


@router.get("/{batch_id}", response_model_exclude_none=True, responses=error_responses(*LOOKUP_ERRORS))
async def get_hume_job(batch_id: BatchId, batches: HumeBatchesDep, owner: HumeOwner) -> HumeJob:
    """Return a job and its state."""
    return await batches.get(owner, batch_id)


_PREDICTIONS = TypeAdapter(list[HumeSourceResult])


@router.get(
    "/{batch_id}/predictions",
    response_model=list[HumeSourceResult],
    responses=error_responses(*RESULT_ERRORS),
)
async def get_hume_predictions(batch_id: BatchId, batches: HumeBatchesDep, owner: HumeOwner) -> Response:
    """Return the predictions of a job that has ended, by source."""
    predictions = await batches.predictions(owner, batch_id)
    content = await run_in_threadpool(_PREDICTIONS.dump_json, predictions)
    return Response(content, media_type="application/json")


@router.get(
    "/{batch_id}/artifacts",
    response_class=Response,
    responses={
        200: {
            "description": "The archive",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **error_responses(*RESULT_ERRORS),
    },
)
async def get_hume_artifacts(batch_id: BatchId, batches: HumeBatchesDep, owner: HumeOwner) -> Response:
    """Return a zip with the predictions of a job that has ended as tables (CSV), one for each file and model."""
    archive = await batches.artifacts(owner, batch_id)
    headers = {"Content-Disposition": f'attachment; filename="artifacts-{batch_id}.zip"'}
    return StreamingResponse(_blocks(archive), headers=headers, media_type="application/zip")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block

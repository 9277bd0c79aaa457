"""Share links of a job."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from app.dependencies import Owner, SharesDep, json_body
from app.errors import ShareNotFound, ValidationFailed
from app.http.bodies import json_request_body
from app.routes.jobs import JobId
from app.schemas import CALLER_ERRORS, problem_responses
from app.services.jobs import LOOKUP_ERRORS, RESULT_ERRORS
from app.services.shares import NewShare, ShareList, ShareRequest
from ml.errors import FileTooLarge, MediaInvalid
from workers.protocol.blobs.storage_backend import StorageError, StorageFull

router = APIRouter(
    prefix="/v1/jobs/{job_id}/shares",
    tags=["jobs"],
    responses=problem_responses(*CALLER_ERRORS, *LOOKUP_ERRORS, StorageError),
)


@router.post(
    "",
    status_code=201,
    openapi_extra=json_request_body(ShareRequest, required=False),
    responses=problem_responses(*RESULT_ERRORS, MediaInvalid, ValidationFailed, FileTooLarge, StorageFull),
)
async def create_share(
    job_id: JobId,
    shares: SharesDep,
    owner: Owner,
    request: Annotated[ShareRequest, json_body(ShareRequest, required=False)],
) -> NewShare:
    """Create a link with which anyone can read this job without a key: the job, its result and artifacts, and its media
    if you share them. It permits no change."""
    return await run_in_threadpool(shares.create, owner, job_id, request)


@router.get("")
async def list_shares(job_id: JobId, shares: SharesDep, owner: Owner) -> ShareList:
    """List the share links of the job that are valid, without their tokens."""
    return await run_in_threadpool(shares.list_shares, owner, job_id)


@router.delete("/{share_id}", status_code=204, responses=problem_responses(ShareNotFound))
async def revoke_share(
    job_id: JobId,
    share_id: Annotated[str, Path(description="Id of a share link.")],
    shares: SharesDep,
    owner: Owner,
) -> None:
    """Revoke a share link: it opens nothing any more."""
    await run_in_threadpool(shares.revoke, owner, job_id, share_id)

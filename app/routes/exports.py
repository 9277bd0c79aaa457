"""Results of several jobs in one download."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.dependencies import ExportsDep, Owner
from app.errors import ValidationFailed
from app.http.negotiation import Export, ResultFormat, disposition
from app.schemas import CALLER_ERRORS, problem_responses
from app.services.exports import MAX_EXPORTED_JOBS
from app.services.jobs import RESULT_ERRORS
from ml.errors import MediaInvalid
from ml.reports.formats import Rows
from workers.protocol.blobs.storage_backend import StorageError

router = APIRouter(
    prefix="/v1/exports", tags=["jobs"], responses=problem_responses(*CALLER_ERRORS, StorageError, ValidationFailed)
)

_NAME = "results"
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One table, or an archive with a file for each job",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get("", response_class=Response, responses=_CONTENT | problem_responses(*RESULT_ERRORS, MediaInvalid))
async def get_exports(
    exports: ExportsDep,
    owner: Owner,
    job: Annotated[
        list[str],
        Query(
            min_length=1,
            max_length=MAX_EXPORTED_JOBS,
            description=f"Id of a job that has a result; repeat it for each of up to {MAX_EXPORTED_JOBS}.",
        ),
    ],
    format: Annotated[
        ResultFormat,
        Query(description="`csv`: one table of all jobs. Other formats: a ZIP archive with a file for each job."),
    ] = "csv",
    rows: Annotated[Rows | None, Query(description="Content of a row of the CSV, or of a cue of subtitles.")] = None,
    bom: Annotated[bool, Query(description="Begin a CSV with a byte order mark, which Excel needs.")] = False,
    archive: Annotated[bool, Query(description="A file for each job in a ZIP archive, for CSV too.")] = False,
) -> Response:
    """Return the results of several jobs: as one table, whose rows name their file, or as an archive. If one of the
    jobs has no result, the request fails."""
    ids = list(dict.fromkeys(job))
    export = Export.negotiate(format, rows, None, bom=bom)
    if format == "csv" and not archive:
        table = await run_in_threadpool(exports.table, owner, ids, export)
        headers = {"Content-Disposition": disposition("attachment", _NAME, export.suffix)}
        return Response(table, headers=headers, media_type=export.content_type)
    content = await run_in_threadpool(exports.archive, owner, ids, export)
    headers = {"Content-Disposition": disposition("attachment", _NAME, ".zip")}
    return StreamingResponse(content, headers=headers, media_type="application/zip")

"""What a job gives besides its result: events, media, artifacts. Each can be asked for with a ticket."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from redis.exceptions import RedisError

from app.dependencies import OutputsOf, Viewer
from app.errors import JobExpired, JobNotFound
from app.http.ranges import range_response
from app.routes.jobs import JobId
from app.schemas import ArtifactList, Change, problem_responses
from workers.protocol.store.events import ProgressEvent

EVENT_ID = r"^[0-9]{1,18}-[0-9]{1,18}$"
RECONNECT_MILLISECONDS = 2000
"""After which a browser whose connection broke asks again."""

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    responses=problem_responses(
        "unauthorized", "rate_limited", "job_not_found", "job_expired", "queue_unavailable", "validation_failed"
    ),
)

ArtifactName = Annotated[str, Path(description="As the list of the job's artifacts names it.")]

_NO_RESULT = problem_responses("job_unfinished", "job_cancelled", "media_invalid")
_CONTENT = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes", "content": _CONTENT},
    206: {"description": "The range that `Range` asked for", "content": _CONTENT},
    416: problem_responses("validation_failed")[400] | {"description": "There is no such range"},
}
_EVENT = {
    "type": "object",
    "required": ["data", "id"],
    "properties": {
        "id": {"type": "string", "pattern": EVENT_ID},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": Change.model_json_schema(),
        },
    },
}
_Range = Annotated[
    str | None, Header(alias="range", description="Of bytes, one; of several, or an unreadable one, all are sent.")
]
_IfRange = Annotated[
    str | None, Header(alias="if-range", description="The `ETag` that the range is of; else all are sent.")
]


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {"description": "Events", "content": {"text/event-stream": {"schema": _EVENT}}},
        204: {"description": "`Last-Event-ID` was the last", "content": {}},
    },
)
async def get_events(
    job_id: JobId,
    outputs: OutputsOf,
    viewer: Viewer,
    last_event_id: Annotated[
        str | None,
        Header(pattern=EVENT_ID, description="Goes on after this event, as browsers do."),
    ] = None,
) -> Response:
    """Server-sent events. The data of each is JSON: `status`, `stage`, `progress`. The first tells how the job stands,
    the last its final state (or that it was `deleted`); then the answer ends. Whoever asks on after the last one is
    answered 204, at which a browser's `EventSource` stops."""
    changes = await outputs.events(viewer, job_id, last_event_id)
    if changes is None:
        return Response(status_code=204)
    return EventSourceResponse(_written(changes), headers={"X-Accel-Buffering": "no"})


async def _written(changes: AsyncIterator[ProgressEvent | None]) -> AsyncIterator[bytes]:
    """What breaks off is no harm: the reader asks on from its last event."""
    yield format_sse_event(retry=RECONNECT_MILLISECONDS)
    with suppress(JobNotFound, JobExpired, RedisError):
        async for event in changes:
            if event is None:
                yield KEEPALIVE_COMMENT
            else:
                change = Change(status=event.status, stage=event.stage, progress=event.progress)
                yield format_sse_event(data_str=change.model_dump_json(), id=event.id)


@router.get("/media", response_class=Response, responses=_BYTES | problem_responses("artifact_not_found"))
async def get_media(
    request: Request, job_id: JobId, outputs: OutputsOf, viewer: Viewer, range: _Range = None, if_range: _IfRange = None
) -> Response:
    """The media: until the job has ended, and after that where `keep_media` was asked for and the job succeeded."""
    return range_response(request, await outputs.media(viewer, job_id))


@router.get("/artifacts", responses=_NO_RESULT)
async def list_artifacts(job_id: JobId, outputs: OutputsOf, viewer: Viewer) -> ArtifactList:
    """The files that were made beside the result, as `annotate`, `heatmaps` and `thumbnails` ask for them."""
    return await outputs.artifacts(viewer, job_id)


@router.get(
    "/artifacts/{name}",
    response_class=Response,
    responses=_BYTES | _NO_RESULT | problem_responses("artifact_not_found"),
)
async def get_artifact(
    request: Request,
    job_id: JobId,
    name: ArtifactName,
    outputs: OutputsOf,
    viewer: Viewer,
    range: _Range = None,
    if_range: _IfRange = None,
) -> Response:
    """One of them."""
    return range_response(request, await outputs.artifact(viewer, job_id, name))

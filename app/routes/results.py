"""Events, media and artifacts of a job. All of them accept a ticket instead of the key."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from redis.exceptions import RedisError

from app.dependencies import ResultsDep, viewer_of
from app.errors import ArtifactNotFound, JobCancelled, JobExpired, JobNotFound, JobUnfinished, ValidationFailed
from app.http.ranges import range_response
from app.routes.jobs import JobId
from app.schemas import CALLER_ERRORS, ArtifactList, Change, problem_responses
from app.services.jobs import LOOKUP_ERRORS
from ml.errors import MediaInvalid
from workers.protocol.store.events import ProgressEvent

EVENT_ID = r"^[0-9]{1,18}-[0-9]{1,18}$"
RECONNECT_MILLISECONDS = 2000
"""Milliseconds after which a browser reconnects."""

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    responses=problem_responses(*CALLER_ERRORS, *LOOKUP_ERRORS, ValidationFailed),
)

ArtifactName = Annotated[str, Path(description="Name of the artifact, from the list of artifacts.")]
EventsViewer = Annotated[str, viewer_of("events")]
MediaViewer = Annotated[str, viewer_of("media")]
ArtifactsViewer = Annotated[str, viewer_of("artifacts")]

_NO_RESULT = problem_responses(JobUnfinished, JobCancelled, MediaInvalid)
_CONTENT = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes", "content": _CONTENT},
    206: {"description": "The requested range", "content": _CONTENT},
    416: problem_responses(ValidationFailed)[400] | {"description": "The range is outside the file"},
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
    str | None,
    Header(
        alias="range", description="One range of bytes. If there are several, or it is invalid, all bytes are sent."
    ),
]
_IfRange = Annotated[
    str | None,
    Header(
        alias="if-range", description="`ETag` of the file that the range belongs to. All bytes are sent if it changed."
    ),
]


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {"description": "Events", "content": {"text/event-stream": {"schema": _EVENT}}},
        204: {"description": "`Last-Event-ID` is the final event", "content": {}},
    },
)
async def get_events(
    job_id: JobId,
    results: ResultsDep,
    viewer: EventsViewer,
    last_event_id: Annotated[
        str | None,
        Header(pattern=EVENT_ID, description="Continue after this event, as browsers do."),
    ] = None,
) -> Response:
    """Stream the job's progress as server-sent events. The data of each event is JSON: `status`, `stage`, `progress`.
    The first event is the job's current state, the last its final state (or `deleted`); then the response ends. A
    request that continues after the final event gets status 204, which stops a browser's `EventSource`."""
    events = await results.events(viewer, job_id, last_event_id)
    if events is None:
        return Response(status_code=204)
    return EventSourceResponse(_format_events(events), headers={"X-Accel-Buffering": "no"})


async def _format_events(events: AsyncIterator[ProgressEvent | None]) -> AsyncIterator[bytes]:
    """Format events as text. If the job disappears or Redis fails, the response ends; the client continues from its
    last event."""
    yield format_sse_event(retry=RECONNECT_MILLISECONDS)
    with suppress(JobNotFound, JobExpired, RedisError):
        async for event in events:
            if event is None:
                yield KEEPALIVE_COMMENT
            else:
                change = Change(status=event.status, stage=event.stage, progress=event.progress)
                yield format_sse_event(data_str=change.model_dump_json(), id=event.id)


@router.get("/media", response_class=Response, responses=_BYTES | problem_responses(ArtifactNotFound))
async def get_media(
    request: Request,
    job_id: JobId,
    results: ResultsDep,
    viewer: MediaViewer,
    range: _Range = None,
    if_range: _IfRange = None,
) -> Response:
    """Return the media. They are stored until the job has ended; after that only if the job succeeded and had
    `keep_media`."""
    return range_response(request, await results.media(viewer, job_id))


@router.get("/artifacts", responses=_NO_RESULT)
async def list_artifacts(job_id: JobId, results: ResultsDep, viewer: ArtifactsViewer) -> ArtifactList:
    """List the files that were created in addition to the result, as requested by `annotate`, `heatmaps` and
    `thumbnails`."""
    return await results.artifacts(viewer, job_id)


@router.get(
    "/artifacts/{name}",
    response_class=Response,
    responses=_BYTES | _NO_RESULT | problem_responses(ArtifactNotFound),
)
async def get_artifact(
    request: Request,
    job_id: JobId,
    name: ArtifactName,
    results: ResultsDep,
    viewer: ArtifactsViewer,
    range: _Range = None,
    if_range: _IfRange = None,
) -> Response:
    """Return one artifact."""
    return range_response(request, await results.artifact(viewer, job_id, name))

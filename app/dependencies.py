"""Dependencies of routes, as annotated types. They are coroutines because FastAPI would run functions in a thread."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request

from app.errors import Unauthorized
from app.http.bodies import read_json
from app.http.concurrency_limit import ConcurrencyLimit
from app.http.metrics import GatewayMetrics
from app.http.rate_limit import enforce
from app.http.rate_limiter import RateLimiter
from app.http.security import LOCAL_OWNER, authenticate
from app.schemas import TicketPurpose
from app.services.exports import JobExports
from app.services.job_editor import JobEditor
from app.services.jobs import JobQueries
from app.services.ratings import Ratings
from app.services.readiness import Readiness
from app.services.results import Results
from app.services.shares import Share, Shares
from app.services.submission import JobSubmission
from app.services.tickets import Tickets, TicketUse
from app.services.webhooks import Webhooks
from app.settings import Settings
from workers.protocol.store.worker_registry import WorkerRegistry

_bearer = HTTPBearer(auto_error=False, description="An API key. Not needed on this machine if no keys are set.")


def _from_state(name: str) -> Any:
    """Return a dependency on what `create_app` stores in the app's state under this name."""

    async def read(connection: HTTPConnection) -> Any:
        return getattr(connection.app.state, name)

    return Depends(read)


SettingsDep = Annotated[Settings, _from_state("settings")]
MetricsDep = Annotated[GatewayMetrics, _from_state("metrics")]
SubmissionDep = Annotated[JobSubmission, _from_state("submission")]
JobsDep = Annotated[JobQueries, _from_state("jobs")]
JobEditorDep = Annotated[JobEditor, _from_state("job_editor")]
ResultsDep = Annotated[Results, _from_state("results")]
ExportsDep = Annotated[JobExports, _from_state("exports")]
RatingsDep = Annotated[Ratings, _from_state("ratings")]
SharesDep = Annotated[Shares, _from_state("shares")]
ReadinessDep = Annotated[Readiness, _from_state("readiness")]
RegistryDep = Annotated[WorkerRegistry, _from_state("registry")]
TicketsDep = Annotated[Tickets, _from_state("tickets")]
WebhooksDep = Annotated[Webhooks, _from_state("webhooks")]
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
_TicketQuery = Annotated[
    str | None, Query(max_length=64, description="A ticket instead of the key: see `POST /v1/tickets`.")
]


_ShareQuery = Annotated[
    str | None,
    Query(
        max_length=64, description="The token of a share link instead of the key: see `POST /v1/jobs/{job_id}/shares`."
    ),
]


@dataclass(frozen=True)
class Reader:
    """Reader of a job: its owner, or a caller with a share link."""

    owner: str
    share: Share | None = None


async def get_reader(
    connection: HTTPConnection, settings: SettingsDep, documented: _Credentials, share: _ShareQuery = None
) -> AsyncIterator[Reader]:
    """Yield the reader of the path's job, until the response is sent. Raises Unauthorized, RateLimited, RedisError."""
    reader = await _shared_reader(connection, share) or Reader(_authenticated_owner(connection, settings))
    await count_request(connection, reader.owner)
    with _concurrency_of(connection).enter(reader.owner):
        yield reader


async def _shared_reader(connection: HTTPConnection, token: str | None) -> Reader | None:
    if token is None:
        return None
    shares: Shares = connection.app.state.shares
    return Reader(*await run_in_threadpool(shares.open, connection.path_params["job_id"], token))


JobReader = Annotated[Reader, Depends(get_reader)]


async def get_owner(connection: HTTPConnection, settings: SettingsDep, documented: _Credentials) -> AsyncIterator[str]:
    """Yield the caller's name, `LOCAL_OWNER` if no keys are set, until the response is sent. Raises Unauthorized,
    RateLimited, RedisError.

    `documented` is not used: it adds the key to the OpenAPI document.
    """
    owner = await count_request(connection, _authenticated_owner(connection, settings))
    with _concurrency_of(connection).enter(owner):
        yield owner


def viewer_of(purpose: TicketPurpose) -> Any:
    """Return a dependency on the name of a caller that may send a ticket for this purpose and the job of the path,
    instead of the key. It holds until the response is sent, and raises Unauthorized, RateLimited, RedisError."""

    async def get_viewer(
        connection: HTTPConnection,
        documented: _Credentials,
        ticket: _TicketQuery = None,
        share: _ShareQuery = None,
    ) -> AsyncIterator[str]:
        reader = await _shared_reader(connection, share)
        if reader is None:
            owner = await identify_viewer(connection, ticket, TicketUse(purpose, connection.path_params["job_id"]))
        else:
            owner = await count_request(connection, _permitted(reader, purpose))
        with _concurrency_of(connection).enter(owner):
            yield owner

    return Depends(get_viewer)


def _permitted(reader: Reader, purpose: TicketPurpose) -> str:
    """Return the owner if the reader's share link permits this. Raises Unauthorized."""
    if purpose == "artifacts" or (purpose == "media" and reader.share and reader.share.media):
        return reader.owner
    raise Unauthorized("The link does not permit this.")


def _concurrency_of(connection: HTTPConnection) -> ConcurrencyLimit:
    limit: ConcurrencyLimit = connection.app.state.concurrency
    return limit


async def identify_viewer(connection: HTTPConnection, ticket: str | None, use: TicketUse) -> str:
    """Return the caller's name by ticket or key, for HTTP and WebSockets. Raises Unauthorized, RateLimited,
    RedisError."""
    if ticket is None:
        owner = _authenticated_owner(connection, connection.app.state.settings)
    else:
        owner = await run_in_threadpool(connection.app.state.tickets.owner_of, ticket, use)
    return await count_request(connection, owner)


def _authenticated_owner(connection: HTTPConnection, settings: Settings) -> str:
    if not settings.api_keys:
        return LOCAL_OWNER
    return authenticate(connection.headers.get("authorization"), settings.api_keys)


async def count_request(connection: HTTPConnection, owner: str) -> str:
    """Count the request against the rate limit and return the owner. Raises RateLimited, RedisError."""
    limiter: RateLimiter = connection.app.state.limiter
    if limiter.per_minute:
        enforce(connection, await run_in_threadpool(limiter.consume, owner))
    return owner


Owner = Annotated[str, Depends(get_owner)]


def json_body(model: type[BaseModel], required: bool = True) -> Any:
    """Return a dependency on the JSON body of the request, which is read once the caller is known. Raises as
    `get_owner` and `read_json`."""

    async def read(request: Request, owner: Owner) -> BaseModel:
        return await read_json(request, model, required)

    return Depends(read)

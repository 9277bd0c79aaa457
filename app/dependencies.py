"""What routes ask for, as annotated types. Coroutines, as a function would be sent to a thread each time."""

from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from app.http.metrics import Metrics
from app.http.rate_limit import RateLimiter, enforce
from app.http.security import LOCAL_OWNER, authenticate
from app.services.jobs import Jobs
from app.services.readiness import Readiness
from app.services.results import Results
from app.services.tickets import Tickets
from app.services.webhooks import Webhooks
from app.settings import Settings

_bearer = HTTPBearer(auto_error=False, description="An API key; not needed on loopback where no keys are set.")


def _state(name: str) -> Any:
    """What `create_app` keeps under this name, for a route that asks for it."""

    async def found(connection: HTTPConnection) -> Any:
        return getattr(connection.app.state, name)

    return Depends(found)


SettingsOf = Annotated[Settings, _state("settings")]
JobsOf = Annotated[Jobs, _state("jobs")]
FleetOf = Annotated[Readiness, _state("fleet")]
WebhooksOf = Annotated[Webhooks, _state("webhooks")]
MetricsOf = Annotated[Metrics, _state("metrics")]
OutputsOf = Annotated[Results, _state("outputs")]
TicketsOf = Annotated[Tickets, _state("tickets")]
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
TicketQuery = Annotated[str | None, Query(max_length=64, description="In place of the key: see `POST /v1/tickets`.")]


async def get_owner(connection: HTTPConnection, settings: SettingsOf, documented: _Credentials) -> str:
    """The caller's name; without keys the one person at this machine. Raises Unauthorized, RateLimited, RedisError."""
    return await _let_in(connection, _owner_of(connection, settings))


async def get_viewer(connection: HTTPConnection, documented: _Credentials, ticket: TicketQuery = None) -> str:
    """The name of a caller that may send a ticket in place of the key. Raises Unauthorized, RateLimited,
    RedisError."""
    return await viewer_of(connection, ticket)


async def viewer_of(connection: HTTPConnection, ticket: str | None) -> str:
    """As `get_viewer`, for HTTP and WebSockets."""
    if ticket is None:
        owner = _owner_of(connection, connection.app.state.settings)
    else:
        owner = await run_in_threadpool(connection.app.state.tickets.owner_of, ticket)
    return await _let_in(connection, owner)


async def _let_in(connection: HTTPConnection, owner: str) -> str:
    limiter: RateLimiter = connection.app.state.limiter
    if limiter.per_minute:
        enforce(connection, await run_in_threadpool(limiter.consume, owner))
    return owner


def _owner_of(connection: HTTPConnection, settings: Settings) -> str:
    if not settings.api_keys:
        return LOCAL_OWNER
    return authenticate(connection.headers.get("authorization"), settings.api_keys)


Owner = Annotated[str, Depends(get_owner)]
Viewer = Annotated[str, Depends(get_viewer)]

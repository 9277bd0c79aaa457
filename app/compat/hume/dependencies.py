"""Dependencies of the routes: the caller by Hume's header, and the services."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from app.compat.hume.batches import HumeBatches
from app.compat.hume.submission import HumeSubmission
from app.dependencies import count_request
from app.http.concurrency_limit import ConcurrencyLimit
from app.http.security import LOCAL_OWNER, authenticate

KEY_HEADER = "X-Hume-Api-Key"
_KEY_QUERIES = ("apikey", "apiKey")

_key = APIKeyHeader(
    name=KEY_HEADER,
    auto_error=False,
    scheme_name="HumeApiKey",
    description="An API key of this service. If no keys are set, any is accepted.",
)


async def identify_hume_caller(connection: HTTPConnection) -> str:
    """Return the caller's name by Hume's header, by that of this service, or by the query that Hume's streams accept.
    Raises Unauthorized, RateLimited, RedisError."""
    keys = connection.app.state.settings.api_keys
    if not keys:
        return await count_request(connection, LOCAL_OWNER)
    sent = [connection.headers.get(KEY_HEADER), *map(connection.query_params.get, _KEY_QUERIES)]
    key = next((value for value in sent if value is not None), None)
    header = connection.headers.get("authorization") if key is None else f"Bearer {key}"
    return await count_request(connection, authenticate(header, keys))


async def _get_owner(
    connection: HTTPConnection, documented: Annotated[str | None, Depends(_key)]
) -> AsyncIterator[str]:
    owner = await identify_hume_caller(connection)
    concurrency: ConcurrencyLimit = connection.app.state.concurrency
    with concurrency.enter(owner):
        yield owner


async def _get_submission(connection: HTTPConnection) -> HumeSubmission:
    submission: HumeSubmission = connection.app.state.hume_submission
    return submission


async def _get_batches(connection: HTTPConnection) -> HumeBatches:
    batches: HumeBatches = connection.app.state.hume_batches
    return batches


HumeOwner = Annotated[str, Depends(_get_owner)]
HumeSubmissionDep = Annotated[HumeSubmission, Depends(_get_submission)]
HumeBatchesDep = Annotated[HumeBatches, Depends(_get_batches)]

"""Idempotency keys: a request sent again with its `Idempotency-Key` creates no second job."""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.errors import IdempotencyInProgress, IdempotencyMismatch, JobNotFound
from app.http.uploads import UploadForm
from app.services.job_form import parse_options
from workers.protocol.store.idempotency import (
    RESERVATION_TTL_SECONDS,
    CompletedRequest,
    IdempotencyStore,
    RequestInProgress,
    Reservation,
)


def request_fingerprint(form: UploadForm) -> str:
    """Return the sha256 of a request: of the sha256 of its files and of its fields in canonical form. The order of the
    fields and the names of the files do not matter."""

    def canonical(name: str, value: str) -> object:
        return parse_options(value).model_dump(mode="json") if name == "options" else value.strip()

    fields = {name: [canonical(name, value) for value in values] for name, values in form.fields.items()}
    content = {"fields": fields, "files": [file.sha256 for file in form.files]}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def replayed_jobs(completed: CompletedRequest, form: UploadForm) -> tuple[str, ...]:
    """Return the ids of the jobs that the same request created before.

    Raises IdempotencyMismatch if the request differs, JobNotFound if one of the jobs was deleted.
    """
    if request_fingerprint(form) != completed.fingerprint:
        raise IdempotencyMismatch("The key was used with other files or fields.")
    job_ids = tuple(job_id for job_id in completed.job_ids if job_id is not None)
    if len(job_ids) < len(completed.job_ids):
        raise JobNotFound("A job that was created with this key has been deleted.")
    return job_ids


@asynccontextmanager
async def idempotent(store: IdempotencyStore, owner: str, key: str) -> AsyncIterator[Reservation | CompletedRequest]:
    """Reserve a key while its request is processed, and release it if that fails. Yields the reservation, or the
    earlier request that completed with this key. Raises IdempotencyInProgress, RedisError."""
    state = await run_in_threadpool(store.reserve, owner, key)
    if isinstance(state, RequestInProgress):
        wait = min(math.ceil(state.expires_in_seconds), RESERVATION_TTL_SECONDS / 3) or 1
        raise IdempotencyInProgress("Another request with this key is in progress.", retry_after=int(wait))
    if isinstance(state, CompletedRequest):
        yield state
        return
    renewing = asyncio.create_task(_renew_loop(store, state))
    try:
        yield state
    except BaseException:
        with suppress(RedisError):  # the reservation expires by itself
            await asyncio.shield(run_in_threadpool(store.release, state))
        raise
    finally:
        renewing.cancel()


async def _renew_loop(store: IdempotencyStore, reservation: Reservation) -> None:
    while True:
        await asyncio.sleep(RESERVATION_TTL_SECONDS / 3)
        with suppress(RedisError):
            await run_in_threadpool(store.renew, reservation)

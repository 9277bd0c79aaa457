"""Replay protection: a request sent again with its `Idempotency-Key` creates no second job."""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from app.errors import IdempotencyInProgress, IdempotencyMismatch, JobNotFound
from app.http.multipart import UploadForm
from app.services.job_form import parse_options
from workers.protocol.store.idempotency import (
    RESERVATION_TTL_SECONDS,
    CompletedRequest,
    IdempotencyStore,
    RequestInProgress,
    Reservation,
)


def request_fingerprint(form: UploadForm) -> str:
    """sha256 of what a request asks for: the files by their own sha256, the fields in their canonical form. Neither the
    order of fields nor the names of files matter."""
    fields = {name: [_canonical(name, value) for value in values] for name, values in form.fields.items()}
    told = {"fields": fields, "files": [file.sha256 for file in form.files]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _canonical(name: str, value: str) -> object:
    return parse_options(value).model_dump(mode="json") if name == "options" else value.strip()


def replayed_jobs(kept: CompletedRequest, form: UploadForm) -> tuple[str, ...]:
    """The jobs that were made of the same request. Raises IdempotencyMismatch for another, JobNotFound where one of
    them was deleted."""
    if request_fingerprint(form) != kept.fingerprint:
        raise IdempotencyMismatch("The key was used with other files or fields.")
    ids = tuple(job_id for job_id in kept.job_ids if job_id is not None)
    if len(ids) < len(kept.job_ids):
        raise JobNotFound("What was made with this key has been deleted.")
    return ids


@asynccontextmanager
async def idempotent(pledges: IdempotencyStore, owner: str, key: str) -> AsyncIterator[Reservation | CompletedRequest]:
    """Holds a key while its request is read, and gives it up where that fails; or tells what was made with it. Raises
    IdempotencyInProgress, RedisError."""
    taken = await run_in_threadpool(pledges.reserve, owner, key)
    if isinstance(taken, RequestInProgress):
        wait = min(math.ceil(taken.expires_in_seconds), RESERVATION_TTL_SECONDS / 3) or 1
        raise IdempotencyInProgress("A request with this key is being answered.", retry_after=int(wait))
    if isinstance(taken, CompletedRequest):
        yield taken
        return
    holding = asyncio.create_task(_hold(pledges, taken))
    try:
        yield taken
    except BaseException:
        with suppress(RedisError):  # it lapses by itself
            await asyncio.shield(run_in_threadpool(pledges.release, taken))
        raise
    finally:
        holding.cancel()


async def _hold(pledges: IdempotencyStore, pledge: Reservation) -> None:
    while True:
        await asyncio.sleep(RESERVATION_TTL_SECONDS / 3)
        with suppress(RedisError):
            await run_in_threadpool(pledges.renew, pledge)

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
from app.http.multipart import Form
from app.services.job_form import parse_options
from workers.protocol.store.idempotency import HOLD_SECONDS, Busy, Kept, Pledge, Pledges


def fingerprint_of(form: Form) -> str:
    """sha256 of what a request asks for: the files by their own sha256, the fields in their canonical form. Neither the
    order of fields nor the names of files matter."""
    fields = {name: [_canonical(name, value) for value in values] for name, values in form.fields.items()}
    told = {"fields": fields, "files": [file.sha256 for file in form.files]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _canonical(name: str, value: str) -> object:
    return parse_options(value).model_dump(mode="json") if name == "options" else value.strip()


def jobs_of(kept: Kept, form: Form) -> tuple[str, ...]:
    """The jobs that were made of the same request. Raises IdempotencyMismatch for another, JobNotFound where one of
    them was deleted."""
    if fingerprint_of(form) != kept.fingerprint:
        raise IdempotencyMismatch("The key was used with other files or fields.")
    ids = tuple(job_id for job_id in kept.job_ids if job_id is not None)
    if len(ids) < len(kept.job_ids):
        raise JobNotFound("What was made with this key has been deleted.")
    return ids


@asynccontextmanager
async def pledged(pledges: Pledges, owner: str, key: str) -> AsyncIterator[Pledge | Kept]:
    """Holds a key while its request is read, and gives it up where that fails; or tells what was made with it. Raises
    IdempotencyInProgress, RedisError."""
    taken = await run_in_threadpool(pledges.take, owner, key)
    if isinstance(taken, Busy):
        wait = min(math.ceil(taken.seconds), HOLD_SECONDS / 3) or 1
        raise IdempotencyInProgress("A request with this key is being answered.", retry_after=int(wait))
    if isinstance(taken, Kept):
        yield taken
        return
    holding = asyncio.create_task(_hold(pledges, taken))
    try:
        yield taken
    except BaseException:
        with suppress(RedisError):  # it lapses by itself
            await asyncio.shield(run_in_threadpool(pledges.give_up, taken))
        raise
    finally:
        holding.cancel()


async def _hold(pledges: Pledges, pledge: Pledge) -> None:
    while True:
        await asyncio.sleep(HOLD_SECONDS / 3)
        with suppress(RedisError):
            await run_in_threadpool(pledges.hold, pledge)

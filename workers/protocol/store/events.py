"""The changes of a job, as they come: one capped stream in Redis for each, written by the job store's scripts."""

import asyncio
import math
from typing import Literal, Self, cast

from pydantic import Field
from redis.asyncio import Redis

from ml.results import FrozenModel
from ml.vocabulary import Stage
from workers.protocol.records import FINAL_STATUSES, JobStatus
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import KEY_PREFIX

MAX_READERS = 4000
"""Of one process; each holds a connection while it waits."""

_Read = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]


class ProgressEvent(FrozenModel):
    """A job as it was after a change; `id` says where the reading goes on."""

    id: str
    status: JobStatus | Literal["deleted"]
    stage: Stage | None
    progress: float = Field(ge=0, le=1)

    @property
    def is_last(self) -> bool:
        """Nothing comes after it."""
        return self.status == "deleted" or self.status in FINAL_STATUSES


class EventReader:
    """Reads the streams without holding a thread. Belongs to one event loop."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix

    @classmethod
    def connect(cls, settings: SharedSettings) -> Self:
        redis = Redis.from_url(settings.redis_url, max_connections=MAX_READERS, socket_timeout=None)
        return cls(redis)  # a read may last as long as the caller waits: the client would give up after 5 s

    async def close(self) -> None:
        await self._redis.aclose()

    async def read_after(self, job_id: str, last: str, seconds: float) -> tuple[ProgressEvent, ...]:
        """What came after the event `last`, oldest first; waits up to so many seconds where nothing has. Raises
        RedisError."""
        stream = f"{self._prefix}events:{job_id}"
        found = cast(_Read, await self._redis.xread({stream: last}, block=max(1, math.ceil(seconds * 1000))))
        return tuple(_event(name.decode(), fields) for _, entries in found for name, fields in entries)

    async def wait_for_status_change(self, job_id: str, status: JobStatus, last: str, seconds: float) -> None:
        """Waits until the job, of this status at the event `last`, has another, or so many seconds have passed."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            for event in await self.read_after(job_id, last, left):
                if event.status != status:
                    return
                last = event.id


def _event(name: str, fields: dict[bytes, bytes]) -> ProgressEvent:
    stage = fields[b"stage"].decode()
    return ProgressEvent.model_validate(
        {"id": name, "status": fields[b"status"].decode(), "stage": stage or None, "progress": fields[b"progress"]}
    )

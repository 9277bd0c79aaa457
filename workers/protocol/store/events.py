"""Progress events of jobs: one capped stream in Redis per job, written by the scripts of the job store."""

import asyncio
import math
from typing import Literal, Self, cast

from pydantic import Field
from redis.asyncio import Redis

from ml.results import FrozenModel
from ml.vocabulary import Stage
from workers.protocol.records import FINAL_STATUSES, JobStatus
from workers.protocol.settings import SharedSettings
from workers.protocol.store.keys import KEY_PREFIX

MAX_READERS = 4000
"""Maximum concurrent readers of one process; each holds a connection while it waits."""

_Reply = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]


class ProgressEvent(FrozenModel):
    """State of a job after a change. `id`: position in the stream, after which reading continues."""

    id: str
    status: JobStatus | Literal["deleted"]
    stage: Stage | None
    progress: float = Field(ge=0, le=1)

    @property
    def is_last(self) -> bool:
        """Whether no event follows."""
        return self.status == "deleted" or self.status in FINAL_STATUSES


class EventReader:
    """Reads the streams without blocking a thread. Belongs to one event loop. Every method raises RedisError."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix

    @classmethod
    def connect(cls, settings: SharedSettings) -> Self:
        """Create a reader with connections of its own."""
        # A read may block as long as the caller waits, but redis-py's default timeout is 5 s.
        redis = Redis.from_url(settings.redis_url, max_connections=MAX_READERS, socket_timeout=None)
        return cls(redis)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def read_after(self, job_id: str, last: str, seconds: float) -> tuple[ProgressEvent, ...]:
        """Return the events after the event `last`, oldest first. Waits up to `seconds` for the first one."""
        stream = f"{self._prefix}events:{job_id}"
        reply = cast(_Reply, await self._redis.xread({stream: last}, block=max(1, math.ceil(seconds * 1000))))
        return tuple(_event(event_id.decode(), fields) for _, entries in reply for event_id, fields in entries)

    async def wait_for_status_change(self, job_id: str, status: JobStatus, last: str, seconds: float) -> None:
        """Wait until the job, which had this status at the event `last`, has another status, at most `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (remaining := deadline - loop.time()) > 0:
            for event in await self.read_after(job_id, last, remaining):
                if event.status != status:
                    return
                last = event.id


def _event(event_id: str, fields: dict[bytes, bytes]) -> ProgressEvent:
    stage = fields[b"stage"].decode()
    return ProgressEvent.model_validate(
        {"id": event_id, "status": fields[b"status"].decode(), "stage": stage or None, "progress": fields[b"progress"]}
    )

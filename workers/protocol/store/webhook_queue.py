"""The webhook queue: deliveries that are due, and the results of their attempts.

The script that ends a job adds its delivery in the same step (`finish_job` in `lua/include/jobs.lua`), so exactly the
final states that occurred are delivered; deleting a job deletes its delivery. Redis holds ids, times and HTTP status
codes only: the URL is stored in the request's blob. A worker leases a delivery for some seconds; if it does not report
a result by then, the delivery is due again. Owners take turns, so that one with slow receivers does not hold up the
others.
"""

import math
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field
from redis import Redis

from ml.results import FrozenModel
from workers.protocol.store.scripts import Scripts

DeliveryState = Literal["pending", "delivered", "failed"]


class Delivery(FrozenModel):
    """Right to make one attempt. `test`: it is a test delivery, without a job."""

    id: str
    owner: str
    attempt: int
    test: bool


class DeliveryAttempt(FrozenModel):
    """Result of one attempt."""

    at: datetime
    seconds: float = Field(ge=0, description="Duration.")
    status: int | None = Field(description="HTTP status of the receiver's response; null if there was none.")
    error: str | None = Field(description="Reason of the failure; null if it was delivered.")


class DeliveryLog(FrozenModel):
    """`none`: the job has no webhook, or has not ended. `failed`: no further attempt is made."""

    state: DeliveryState | Literal["none"] = "none"
    next_at: datetime | None = Field(None, description="Earliest time of the next attempt.")
    attempts: tuple[DeliveryAttempt, ...] = ()


class WebhookQueue:
    """Queue of webhook deliveries. Safe to share between threads. Every method raises RedisError."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix
        self._scripts = Scripts(redis, "webhooks")

    def _run(self, script: str, *values: str | float) -> Any:
        return self._scripts.run(script, self._prefix, *values)

    def due_count(self) -> int:
        """Return how many deliveries are due now."""
        return int(self._run("count_due"))

    def lease_next(self, seconds: float, max_per_owner: float = math.inf) -> Delivery | None:
        """Lease a delivery that is due, for one attempt: the oldest one of the owner with the fewest leased ones.

        Returns None if none is due, or if each owner has `max_per_owner` leased ones.
        """
        reply = self._run("lease_next", seconds, max_per_owner)
        if not reply:
            return None
        job_id, owner, attempt, test = reply
        return Delivery(id=job_id.decode(), owner=owner.decode(), attempt=attempt, test=bool(test))

    def record_attempt(
        self, delivery: Delivery, attempt: DeliveryAttempt, retry_after: float | None = None
    ) -> DeliveryState:
        """Record the result of an attempt and return the new state: delivered; pending, with the next attempt after
        `retry_after` seconds; or failed. Nothing is recorded if the job was deleted or another worker has leased it."""
        state: DeliveryState = "delivered" if attempt.error is None else "failed" if retry_after is None else "pending"
        values = (state, retry_after or 0.0, attempt.model_dump_json())
        self._run("record_attempt", delivery.id, delivery.attempt, *values)
        return state

    def add_test(self, test_id: str, owner: str) -> None:
        """Add a test delivery, which is due now."""
        self._run("add_test", test_id, owner)

    def delivery_log(self, job_id: str) -> DeliveryLog:
        """Return the state and attempts of a job's or test's delivery."""
        reply = self._run("delivery_log", job_id)
        if not reply:
            return DeliveryLog()
        state, due, attempts = reply
        return DeliveryLog(
            state=state.decode(),
            next_at=datetime.fromtimestamp(float(due), UTC) if due else None,
            attempts=tuple(DeliveryAttempt.model_validate_json(attempt) for attempt in attempts),
        )

"""Bodies of webhooks: how a job ended and where to find its result, without anything about the media."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from ml.results import FrozenModel
from workers.protocol.records import FINAL_STATUSES, JobRecord, JobStatus


class EventError(FrozenModel):
    code: str
    retryable: bool


class EventLinks(FrozenModel):
    """Paths of this API."""

    self: str
    result: str


class JobEventData(FrozenModel):
    id: str
    status: JobStatus
    error: EventError | None = Field(description="Reason of the failure.")
    links: EventLinks


class JobEvent(FrozenModel):
    """Body of the webhook of a job."""

    type: Literal["job.succeeded", "job.failed", "job.cancelled"]
    timestamp: datetime = Field(description="When the job ended.")
    data: JobEventData

    @classmethod
    def from_record(cls, record: JobRecord) -> Self | None:
        """Return the event of a job that has ended, otherwise None."""
        if record.status not in FINAL_STATUSES or record.finished_at is None:
            return None
        path, failure = f"/v1/jobs/{record.id}", record.failure
        error = EventError(code=failure.code, retryable=failure.retryable) if failure else None
        links = EventLinks(self=path, result=f"{path}/result")
        data = JobEventData(id=record.id, status=record.status, error=error, links=links)
        return cls.model_validate({"type": f"job.{record.status}", "timestamp": record.finished_at, "data": data})


class WebhookTestEvent(FrozenModel):
    """Body of a test webhook."""

    type: Literal["webhook.test"] = "webhook.test"
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))
    data: dict[str, str] = Field(default_factory=dict)


class BatchEvent(FrozenModel):
    """Body of the webhook of several jobs that were submitted through the Hume-compatible API, in its words."""

    job_id: str
    status: Literal["COMPLETED", "FAILED"]

    @classmethod
    def from_records(cls, batch_id: str, records: Iterable[JobRecord | None]) -> Self | None:
        """Return the event of jobs that have all ended, otherwise None. Deleted jobs have no record."""
        statuses = [record.status for record in records if record is not None]
        if not FINAL_STATUSES.issuperset(statuses):
            return None
        return cls(job_id=batch_id, status="COMPLETED" if "succeeded" in statuses else "FAILED")

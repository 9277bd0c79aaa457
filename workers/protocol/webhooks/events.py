"""What a webhook says: how a job ended and where to ask; nothing of what it was about."""

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field

from ml.results import Frozen
from workers.protocol.records import FINAL, JobRecord, JobStatus


class NoticeError(Frozen):
    code: str
    retryable: bool


class NoticeLinks(Frozen):
    """Paths of this API."""

    self: str
    result: str


class JobEnd(Frozen):
    id: str
    status: JobStatus
    error: NoticeError | None = Field(description="Why it failed.")
    links: NoticeLinks


class JobNotice(Frozen):
    """The body of a webhook."""

    type: Literal["job.succeeded", "job.failed", "job.cancelled"]
    timestamp: datetime = Field(description="When the job ended.")
    data: JobEnd

    @classmethod
    def of(cls, record: JobRecord) -> Self | None:
        """Null for a job that has not ended."""
        if record.status not in FINAL or record.finished_at is None:
            return None
        path, failure = f"/v1/jobs/{record.id}", record.failure
        error = NoticeError(code=failure.code, retryable=failure.retryable) if failure else None
        links = NoticeLinks(self=path, result=f"{path}/result")
        end = JobEnd(id=record.id, status=record.status, error=error, links=links)
        return cls.model_validate({"type": f"job.{record.status}", "timestamp": record.finished_at, "data": end})


class TrialNotice(Frozen):
    """The body of a webhook on trial."""

    type: Literal["webhook.test"] = "webhook.test"
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))
    data: dict[str, str] = Field(default_factory=dict)

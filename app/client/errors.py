"""What can go wrong, as exceptions. `code` is the service's own, stable word for it."""

import httpx
from pydantic import ValidationError

from .models import Job, Problem


class AffectError(Exception):
    """Base of all. `problem`: what the service answered (RFC 9457); null where it did not answer."""

    def __init__(self, message: str, *, code: str, problem: Problem | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.problem = problem

    @property
    def status(self) -> int | None:
        """The HTTP status."""
        return self.problem.status if self.problem else None


class ConnectionFailed(AffectError):
    """The service could not be reached, or broke off, after all retries."""


class Unauthorized(AffectError):
    """No valid API key was sent."""


class InvalidRequest(AffectError):
    """The request, its options or its form are refused."""


class ForbiddenUrl(AffectError):
    """The address may not be reached by the service."""


class MediaRefused(AffectError):
    """The file is too large, or of no accepted format."""


class NotFound(AffectError):
    """There is no such job or artifact."""


class Expired(NotFound):
    """There was such a job; its result is no longer kept."""


class JobUnfinished(AffectError):
    """The job has not ended yet."""


class JobCancelled(AffectError):
    """The job was cancelled: it has no result."""


class JobFailed(AffectError):
    """The analysis could not be done; `retryable`: it may succeed when the job is submitted again."""

    @property
    def retryable(self) -> bool:
        return bool(self.problem and self.problem.retryable)


class IdempotencyError(AffectError):
    """The idempotency key was used with another request, or that request is still being answered."""


class TooManyRequests(AffectError):
    """Too many jobs or requests, after all retries. `retry_after`: seconds, where they were told."""

    retry_after: float | None = None


class Unavailable(AffectError):
    """The service cannot work now, after all retries: no queue, no storage."""


class StillRunning(AffectError):
    """The job did not end in the time that was given. `job`: as it stands."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is {job.status}", code="job_unfinished")
        self.job = job


_KINDS: dict[str, type[AffectError]] = {
    "unauthorized": Unauthorized,
    "invalid_options": InvalidRequest,
    "validation_failed": InvalidRequest,
    "forbidden_url": ForbiddenUrl,
    "file_too_large": MediaRefused,
    "unsupported_media": MediaRefused,
    "media_invalid": MediaRefused,
    "job_not_found": NotFound,
    "artifact_not_found": NotFound,
    "job_expired": Expired,
    "job_unfinished": JobUnfinished,
    "job_cancelled": JobCancelled,
    "idempotency_in_progress": IdempotencyError,
    "idempotency_mismatch": IdempotencyError,
    "too_many_jobs": TooManyRequests,
    "rate_limited": TooManyRequests,
    "queue_unavailable": Unavailable,
    "storage_full": Unavailable,
}


def error_of(response: httpx.Response, *, of_job: bool = False) -> AffectError:
    """The exception for an answer that is an error; `of_job`: a result was asked for, and 422 is how its job failed."""
    problem = _problem_in(response)
    if problem is None:
        return AffectError(f"the service answered {response.status_code}", code="unexpected_answer")
    kind = JobFailed if of_job and problem.status == 422 else _KINDS.get(problem.code, AffectError)
    error = kind(problem.detail or problem.title, code=problem.code, problem=problem)
    if isinstance(error, TooManyRequests):
        error.retry_after = retry_after(response)
    return error


def _problem_in(response: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def retry_after(response: httpx.Response) -> float | None:
    """Seconds, where the answer tells them."""
    told = response.headers.get("retry-after", "")
    return float(told) if told.isascii() and told.isdigit() else None

"""Errors as exceptions. `code` is the service's stable error code."""

from collections.abc import Mapping

import httpx
from pydantic import ValidationError

from .models import Job, Problem


class AffectError(Exception):
    """Base of all errors. `problem` is the service's response (RFC 9457), or None if there was none."""

    def __init__(self, message: str, *, code: str, problem: Problem | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.problem = problem

    @property
    def status(self) -> int | None:
        """The HTTP status, or None if the service did not respond."""
        return self.problem.status if self.problem else None


class ConnectionFailed(AffectError):
    """The service could not be reached, or the connection broke, after all retries."""


class Unauthorized(AffectError):
    """The API key is missing or invalid."""


class InvalidRequest(AffectError):
    """The request or its options are invalid."""


class ForbiddenUrl(AffectError):
    """The service is not allowed to reach this address."""


class MediaRefused(AffectError):
    """The file is too large, damaged, or of an unsupported type."""


class NotFound(AffectError):
    """The job or artifact does not exist."""


class Expired(NotFound):
    """The job has expired: its result is no longer stored."""


class JobUnfinished(AffectError):
    """The job has not ended yet."""


class JobCancelled(AffectError):
    """The job was cancelled and has no result."""


class JobFailed(AffectError):
    """The job failed. `retryable`: it may succeed if it is submitted again."""

    @property
    def retryable(self) -> bool:
        return bool(self.problem and self.problem.retryable)


class ResultChanged(AffectError):
    """Another request changed the result in the meantime."""


class IdempotencyError(AffectError):
    """The idempotency key was used with a different request, or that request is still in progress."""


class TooManyRequests(AffectError):
    """There were too many jobs or requests, after all retries. `retry_after`: seconds, if the service sent them."""

    retry_after: float | None = None


class Unavailable(AffectError):
    """The service was unavailable (queue, workers or storage), after all retries."""


class StillRunning(AffectError):
    """The job did not end within the timeout. `job` is its last known state."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} is {job.status}", code="job_unfinished")
        self.job = job


_BY_STATUS: Mapping[int, type[AffectError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: ForbiddenUrl,
    404: NotFound,
    410: Expired,
    412: ResultChanged,
    413: MediaRefused,
    415: MediaRefused,
    429: TooManyRequests,
    503: Unavailable,
    507: Unavailable,
}
"""Exception for each HTTP status. It also covers codes that a newer service adds."""
_BY_CODE: Mapping[str, type[AffectError]] = {
    "validation_failed": InvalidRequest,
    "job_unfinished": JobUnfinished,
    "job_cancelled": JobCancelled,
    "idempotency_in_progress": IdempotencyError,
    "idempotency_mismatch": IdempotencyError,
    "media_invalid": MediaRefused,
}
"""Exceptions of codes that share their status with others, or have several. They take precedence."""


def error_from(response: httpx.Response, *, needs_result: bool = False) -> AffectError:
    """Return the exception of an error response. `needs_result`: a result was requested, and status 422 means that its
    job failed."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return AffectError(f"the service responded with status {response.status_code}", code="unexpected_answer")
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, AffectError)
    if needs_result and problem.status == 422:
        kind = JobFailed
    error = kind(problem.detail or problem.title, code=problem.code, problem=problem)
    if isinstance(error, TooManyRequests):
        error.retry_after = retry_after(response)
    return error


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of `Retry-After`, or None if the header is missing or not a number of seconds."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None

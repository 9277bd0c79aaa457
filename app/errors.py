"""Errors of the gateway: one exception tree, one table of codes, one response format (RFC 9457 problem documents).

Core code raises an `AffectError`; only this module knows the HTTP status of a code.

To add an error code:

1. Add an exception class with the code: here if only the gateway raises it, else in `ml.errors`.
2. Add its row to `ERRORS`: status, title, and whether its responses carry `Retry-After`.
3. Add the class to the documented errors of the routes that can raise it (`app.schemas.problem_responses`), usually
   through a tuple of the service, such as `app.services.jobs.RESULT_ERRORS`.

The rest follows: response, OpenAPI enum and examples, and the client's exception, which it chooses by status (a code
that needs another one has a row in `app/client/errors.py`). A hint for users of the page is optional (`HINTS` in
`app/ui`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml.errors import AffectError
from ml.vocabulary import Stage

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
DEFAULT_RETRY_SECONDS = 5
"""`Retry-After`, in seconds, of an error that does not set its own."""
MAX_FAULTS = 20
"""Maximum number of faults that a problem lists: a small request must not cause a large response."""
MAX_QUOTED_CHARACTERS = 200
"""Maximum characters of a text that may quote the request."""
CLIENT_CLOSED_REQUEST = 499
"""Status that proxies log if the client closed the connection before the response."""


@dataclass(frozen=True)
class ErrorSpec:
    """Meaning of an error code: its HTTP status, its title, and whether its responses carry `Retry-After`."""

    status: int
    title: str
    retry_after: bool = False


ERRORS: Mapping[str, ErrorSpec] = {
    "invalid_options": ErrorSpec(400, "The options are invalid"),
    "validation_failed": ErrorSpec(400, "The request is invalid"),
    "unauthorized": ErrorSpec(401, "A valid API key is required"),
    "forbidden_url": ErrorSpec(403, "This address isn't allowed"),
    "job_not_found": ErrorSpec(404, "Job not found"),
    "artifact_not_found": ErrorSpec(404, "File not found"),
    "share_not_found": ErrorSpec(404, "Share link not found"),
    "job_unfinished": ErrorSpec(409, "The job hasn't finished yet", retry_after=True),
    "job_cancelled": ErrorSpec(409, "The job was cancelled"),
    "idempotency_in_progress": ErrorSpec(409, "A request with this idempotency key is in progress", retry_after=True),
    "job_expired": ErrorSpec(410, "The job has expired"),
    "precondition_failed": ErrorSpec(412, "The result was changed by another request"),
    "file_too_large": ErrorSpec(413, "The file is too large"),
    "unsupported_media": ErrorSpec(415, "This file type isn't supported"),
    "unsupported_transcript": ErrorSpec(415, "This kind of transcript isn't supported"),
    "unsupported_ratings": ErrorSpec(415, "This kind of ratings file isn't supported"),
    "idempotency_mismatch": ErrorSpec(422, "The idempotency key was used with a different request"),
    "media_invalid": ErrorSpec(422, "This file can't be opened"),
    "media_too_long": ErrorSpec(422, "The media is too long"),
    "media_too_large_frame": ErrorSpec(422, "The resolution is too high"),
    "no_streams": ErrorSpec(422, "The file has no audio or video"),
    "fetch_failed": ErrorSpec(422, "The download failed"),
    "processing_timeout": ErrorSpec(422, "The analysis took too long"),
    "worker_lost": ErrorSpec(422, "The analysis stopped unexpectedly"),
    "too_many_jobs": ErrorSpec(429, "Too many jobs are waiting", retry_after=True),
    "rate_limited": ErrorSpec(429, "Too many requests", retry_after=True),
    "internal_error": ErrorSpec(500, "Something went wrong on the server"),
    "queue_unavailable": ErrorSpec(503, "The job queue is unavailable", retry_after=True),
    "storage_unavailable": ErrorSpec(503, "The storage is unavailable", retry_after=True),
    "storage_full": ErrorSpec(507, "The storage is full"),
}
FAILED_STATUS = 422
"""HTTP status of the problem of every failed job, regardless of its code."""


class Fault(BaseModel):
    """One error in a request."""

    location: str = Field(description="The field, header or parameter that is wrong.", examples=["options.hop_seconds"])
    message: str = Field(description="Description of the error.")
    index: int | None = Field(None, description="Index of the file, from 0, if the request has several.")


class Problem(BaseModel):
    """An error (RFC 9457). Programs should check `code`; `title` and `detail` are for people."""

    type: str = Field(description="The code as a URI.", examples=["urn:problem-type:affect:unsupported_media"])
    title: str = Field(description="Short description of the code; the same for every occurrence.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="Stable, machine-readable error code.", json_schema_extra={"enum": [*sorted(ERRORS)]})
    detail: str | None = Field(None, description="Description of this occurrence. Safe to show to users.")
    instance: str | None = Field(None, description="The path of the request, or the job that failed.")
    request_id: str | None = Field(None, description="Id of this request in the service's log.")
    stage: Stage | None = Field(None, description="The stage in which the job failed.")
    retryable: bool | None = Field(None, description="Whether the failed job may succeed if it is submitted again.")
    errors: tuple[Fault, ...] | None = Field(None, description="Each error in the request.")

    @classmethod
    def from_code(cls, code: str, detail: str | None = None, *, status: int | None = None, **extra: Any) -> "Problem":
        """Return the problem of a code. An unknown code, from a newer worker, keeps its name.

        `status` replaces the status of the code; `extra` sets further fields.
        """
        spec = ERRORS.get(code, ERRORS["internal_error"])
        uri = f"urn:problem-type:affect:{code}"
        return cls(type=uri, title=spec.title, status=status or spec.status, code=code, detail=detail, **extra)


class GatewayError(AffectError):
    """Base of the errors that only requests cause. `retry_after` is in seconds."""

    def __init__(self, message: str, *, errors: Sequence[Fault] = (), retry_after: int | None = None) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.retry_after = retry_after


class InvalidOptions(GatewayError):
    """The `options` field is invalid."""

    code = "invalid_options"


class ValidationFailed(GatewayError):
    """The request is invalid."""

    code = "validation_failed"


class Unauthorized(GatewayError):
    """The key or ticket is missing or invalid."""

    code = "unauthorized"


class JobNotFound(GatewayError):
    """The job does not exist, was deleted, or belongs to another caller."""

    code = "job_not_found"


class ShareNotFound(GatewayError):
    """The job has no such share link."""

    code = "share_not_found"


class ArtifactNotFound(GatewayError):
    """The job has no such artifact, or its media are not stored."""

    code = "artifact_not_found"


class JobUnfinished(GatewayError):
    """The job has no result yet."""

    code = "job_unfinished"


class JobCancelled(GatewayError):
    """The job was cancelled, so it has no result."""

    code = "job_cancelled"


class JobExpired(GatewayError):
    """The job's result is no longer stored."""

    code = "job_expired"


class PreconditionFailed(GatewayError):
    """The result has changed since the version that `If-Match` names."""

    code = "precondition_failed"


class TooManyJobs(GatewayError):
    """The caller, or the service, has too many waiting jobs or stored bytes."""

    code = "too_many_jobs"


class RateLimited(GatewayError):
    """The caller sends too many requests."""

    code = "rate_limited"


class IdempotencyInProgress(GatewayError):
    """The first request with this idempotency key is not completed."""

    code = "idempotency_in_progress"


class IdempotencyMismatch(GatewayError):
    """The idempotency key was used with a different request."""

    code = "idempotency_mismatch"


class QueueUnavailable(GatewayError):
    """Redis or the workers are unavailable."""

    code = "queue_unavailable"


class FileRefused(GatewayError):
    """An uploaded file was rejected. It has the code of the reason, and the index of the file in the request."""

    def __init__(self, reason: AffectError, index: int) -> None:
        super().__init__(reason.message, errors=[Fault(location="file", message=reason.message, index=index)])
        self.reason = reason


class JobFailed(GatewayError):
    """The result of a failed job was requested. The response is the job's own problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


def faults_from(error: ValidationError | RequestValidationError, root: str | None = None) -> tuple[Fault, ...]:
    """Convert the first `MAX_FAULTS` of pydantic's errors, without the input values, which may be personal. `root`
    prefixes each location."""
    prefix = (root,) if root else ()
    return tuple(
        Fault(location=shorten(".".join(map(str, (*prefix, *each["loc"])))), message=shorten(each["msg"]))
        for each in _error_details(error)[:MAX_FAULTS]
    )


def _error_details(error: ValidationError | RequestValidationError) -> Sequence[ErrorDetails]:
    if isinstance(error, RequestValidationError):
        return error.errors()
    return error.errors(include_input=False, include_context=False, include_url=False)


def shorten(text: str) -> str:
    """Return the text, cut after `MAX_QUOTED_CHARACTERS`: it may quote what a caller sent."""
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[: MAX_QUOTED_CHARACTERS - 1]}…"


def describe_faults(faults: Sequence[Fault]) -> str:
    """Return all faults as one sentence."""
    return "; ".join(f"{fault.location}: {fault.message}" for fault in faults)


def problem_from(error: AffectError) -> Problem:
    """Return the problem document of an exception."""
    if isinstance(error, JobFailed):
        return error.problem
    code = error.reason.code if isinstance(error, FileRefused) else error.code
    faults = error.errors if isinstance(error, GatewayError) else ()
    return Problem.from_code(code, error.message, stage=error.stage, errors=faults or None)


def problem_response(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the problem as the response to a request."""
    content = problem.model_copy(
        update={"instance": problem.instance or shorten(request.url.path), "request_id": request_id(request.scope)}
    )
    all_headers = dict(headers or {})
    if (spec := ERRORS.get(problem.code)) and spec.retry_after:
        all_headers.setdefault("Retry-After", str(DEFAULT_RETRY_SECONDS))
    if problem.code == Unauthorized.code:
        all_headers.setdefault("WWW-Authenticate", "Bearer")
    return Response(
        content.model_dump_json(exclude_none=True),
        status_code=problem.status,
        headers=all_headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def request_id(scope: Scope) -> str:
    """Return the id that `RequestContextMiddleware` gave the request."""
    return str(scope.get("state", {}).get("request_id", ""))


def install(app: FastAPI) -> None:
    """Make the app answer every error that a route can raise with a problem document."""
    app.add_exception_handler(AffectError, _on_affect_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RedisError, _on_redis_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


async def _on_affect_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AffectError)
    problem = problem_from(error)
    if problem.code == "internal_error" and problem.status >= 500:
        logger.error("%s on %s", type(error).__name__, request.url.path, exc_info=error)
    retry_after = error.retry_after if isinstance(error, GatewayError) else None
    return problem_response(request, problem, {"Retry-After": str(retry_after)} if retry_after is not None else None)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = faults_from(error)
    return problem_response(request, Problem.from_code("validation_failed", describe_faults(faults), errors=faults))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Handle the errors that Starlette raises: unknown path or method, unreadable body."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = "validation_failed" if error.status_code < 500 else "internal_error"
    problem = Problem.from_code(
        code, shorten(f"{phrase}: {request.method} {request.url.path}"), status=error.status_code
    )
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (
        methods := request.app.openapi.allowed_methods(request.url.path)
    ):
        headers["Allow"] = ", ".join(methods)  # Starlette lists only the methods of one route
    return problem_response(request, problem, headers)


async def _on_redis_error(request: Request, error: Exception) -> Response:
    logger.error("Redis: %s on %s", type(error).__name__, request.url.path)
    problem = Problem.from_code("queue_unavailable", "The job queue can't be reached. Try again in a moment.")
    return problem_response(request, problem)


async def _on_disconnect(request: Request, error: Exception) -> Response:
    """Return a response for the metrics and the log; the client has already disconnected."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


class ErrorBoundary:
    """ASGI middleware that turns unhandled exceptions into a problem without details. It runs inside
    `RequestContextMiddleware`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        has_started = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note_start)
        except Exception:
            logger.exception("unhandled exception")
            if has_started:
                raise  # too late for another response: the client must see the connection break
            response = problem_response(Request(scope), Problem.from_code("internal_error"))
            await response(scope, receive, send)

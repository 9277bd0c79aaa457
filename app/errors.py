"""One tree of errors, one table of codes, one shape on the wire: `application/problem+json` (RFC 9457).

Core code raises an `AffectError`; nothing but this module knows which HTTP status that is.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml.errors import AffectError
from ml.vocabulary import Stage

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""`Retry-After` where nothing better is known."""


@dataclass(frozen=True)
class ErrorSpec:
    """What a code means to a caller: the HTTP status it is answered with, and its unchanging title."""

    status: int
    title: str


ERRORS: Mapping[str, ErrorSpec] = {
    "invalid_options": ErrorSpec(400, "The options cannot be read"),
    "validation_failed": ErrorSpec(400, "The request does not fit the API"),
    "unauthorized": ErrorSpec(401, "No valid API key was sent"),
    "forbidden_url": ErrorSpec(403, "The address may not be reached"),
    "job_not_found": ErrorSpec(404, "There is no such job"),
    "artifact_not_found": ErrorSpec(404, "The job has no such artifact"),
    "job_unfinished": ErrorSpec(409, "The job has not ended yet"),
    "job_cancelled": ErrorSpec(409, "The job was cancelled"),
    "idempotency_in_progress": ErrorSpec(409, "A request with this key is being answered"),
    "job_expired": ErrorSpec(410, "The job's result is no longer kept"),
    "file_too_large": ErrorSpec(413, "The file is too large"),
    "unsupported_media": ErrorSpec(415, "The file is of no accepted format"),
    "idempotency_mismatch": ErrorSpec(422, "The key was used with another request"),
    "media_invalid": ErrorSpec(422, "The media cannot be decoded"),
    "media_too_long": ErrorSpec(422, "The media is too long"),
    "media_too_large_frame": ErrorSpec(422, "A picture has too many pixels"),
    "no_streams": ErrorSpec(422, "The file holds neither sound nor picture"),
    "fetch_failed": ErrorSpec(422, "The media could not be fetched"),
    "processing_timeout": ErrorSpec(422, "The analysis took too long"),
    "worker_lost": ErrorSpec(422, "The analysis was lost several times"),
    "too_many_jobs": ErrorSpec(429, "Too many jobs are waiting"),
    "rate_limited": ErrorSpec(429, "Too many requests"),
    "internal_error": ErrorSpec(500, "Something went wrong on our side"),
    "queue_unavailable": ErrorSpec(503, "The job queue cannot be reached"),
    "storage_unavailable": ErrorSpec(503, "The storage cannot be reached"),
    "storage_full": ErrorSpec(507, "There is no room to store the file"),
}
FAILED_STATUS = 422
"""Of every failed job, whatever its code: the analysis could not be done."""

_NEEDS_RETRY_AFTER = frozenset(
    {"job_unfinished", "too_many_jobs", "rate_limited", "queue_unavailable", "storage_unavailable"}
)


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    location: str = Field(description="Where: a field, header or parameter.", examples=["options.hop_seconds"])
    message: str
    index: int | None = Field(None, description="Which of several files, counted from 0.")


class Problem(BaseModel):
    """An error (RFC 9457). Programs decide by `code`; `title` and `detail` are for people."""

    type: str = Field(description="The code as a URI.", examples=["urn:problem-type:affect:unsupported_media"])
    title: str
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="Stable and machine-readable.", json_schema_extra={"enum": [*sorted(ERRORS)]})
    detail: str | None = Field(None, description="What happened this time; safe to show.")
    instance: str | None = Field(None, description="The path that was asked for, or the job that failed.")
    request_id: str | None = Field(None, description="To find this request in the service's log.")
    stage: Stage | None = Field(None, description="Of a failed job: where it failed.")
    retryable: bool | None = Field(None, description="Of a failed job: whether it may succeed when posted again.")
    errors: tuple[Fault, ...] | None = Field(None, description="Each thing that is wrong with the request.")

    @classmethod
    def from_code(cls, code: str, detail: str | None = None, *, status: int | None = None, **extra: Any) -> "Problem":
        """The problem of a code; one that the table lacks (of a newer worker) keeps its name."""
        kind = ERRORS.get(code, ERRORS["internal_error"])
        uri = f"urn:problem-type:affect:{code}"
        return cls(type=uri, title=kind.title, status=status or kind.status, code=code, detail=detail, **extra)


class GatewayError(AffectError):
    """An error that only a request can meet; `retry_after` in seconds."""

    def __init__(self, message: str, *, errors: Sequence[Fault] = (), retry_after: int | None = None) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.retry_after = retry_after


class InvalidOptions(GatewayError):
    code = "invalid_options"


class ValidationFailed(GatewayError):
    code = "validation_failed"


class Unauthorized(GatewayError):
    code = "unauthorized"


class JobNotFound(GatewayError):
    code = "job_not_found"


class ArtifactNotFound(GatewayError):
    code = "artifact_not_found"


class JobUnfinished(GatewayError):
    code = "job_unfinished"


class JobCancelled(GatewayError):
    code = "job_cancelled"


class JobExpired(GatewayError):
    code = "job_expired"


class TooManyJobs(GatewayError):
    code = "too_many_jobs"


class RateLimited(GatewayError):
    code = "rate_limited"


class IdempotencyInProgress(GatewayError):
    code = "idempotency_in_progress"


class IdempotencyMismatch(GatewayError):
    code = "idempotency_mismatch"


class FileRefused(GatewayError):
    """A file that is refused at its upload, with the code of the reason and the place among the files."""

    def __init__(self, reason: AffectError, index: int) -> None:
        super().__init__(reason.message, errors=[Fault(location="file", message=reason.message, index=index)])
        self.reason = reason


class JobFailed(GatewayError):
    """The result was asked of a job that failed: the job's own problem is the answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


def faults_from(errors: Sequence[ErrorDetails], root: str | None = None) -> tuple[Fault, ...]:
    """What pydantic found, without the input that it found it in."""
    return tuple(
        Fault(location=".".join(map(str, (*([root] if root else []), *error["loc"]))), message=error["msg"])
        for error in errors
    )


def problem_from(error: AffectError) -> Problem:
    if isinstance(error, JobFailed):
        return error.problem
    code = error.reason.code if isinstance(error, FileRefused) else error.code
    faults = error.errors if isinstance(error, GatewayError) else ()
    return Problem.from_code(code, error.message, stage=error.stage, errors=faults or None)


def problem_response(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as the answer to a request."""
    told = problem.model_copy(
        update={"instance": problem.instance or request.url.path, "request_id": request_id(request.scope)}
    )
    extra = dict(headers or {})
    if problem.code in _NEEDS_RETRY_AFTER:
        extra.setdefault("Retry-After", str(RETRY_SECONDS))
    if problem.code == "unauthorized":
        extra.setdefault("WWW-Authenticate", "Bearer")
    body = told.model_dump_json(exclude_none=True)
    return Response(body, status_code=problem.status, headers=extra, media_type=PROBLEM_TYPE)


def request_id(scope: Scope) -> str:
    """The id that `Tracking` gave the request."""
    return str(scope.get("state", {}).get("request_id", ""))


def install(app: FastAPI) -> None:
    """Every error that a route can raise becomes a problem."""
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
    faults = faults_from(error.errors())
    detail = "; ".join(f"{fault.location}: {fault.message}" for fault in faults)
    return problem_response(request, Problem.from_code("validation_failed", detail, errors=faults))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Of the framework itself: no such path, no such method, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = "validation_failed" if error.status_code < 500 else "internal_error"
    problem = Problem.from_code(code, f"{phrase}: {request.method} {request.url.path}", status=error.status_code)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (
        known := request.app.openapi.allowed_methods(request.url.path)
    ):
        headers["Allow"] = ", ".join(known)  # the framework tells those of one route
    return problem_response(request, problem, headers)


async def _on_redis_error(request: Request, error: Exception) -> Response:
    logger.error("Redis: %s on %s", type(error).__name__, request.url.path)
    return problem_response(
        request, Problem.from_code("queue_unavailable", "The job queue cannot be reached. Try again soon.")
    )


async def _on_disconnect(request: Request, error: Exception) -> Response:
    """Nobody reads this: the caller has gone. 499 is what proxies log for it."""
    return Response(status_code=499)


class ErrorBoundary:
    """Turns what nobody caught into a problem that gives nothing away. ASGI middleware, within `Tracking`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noting_start)
        except Exception:
            logger.exception("nobody caught this")
            if started:
                raise  # too late for another answer: the connection must be seen to break
            response = problem_response(Request(scope), Problem.from_code("internal_error"))
            await response(scope, receive, send)

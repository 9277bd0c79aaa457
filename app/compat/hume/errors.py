"""Errors in Hume's shape."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.compat.hume.schemas import HumeError
from app.errors import (
    DEFAULT_RETRY_SECONDS,
    ERRORS,
    GatewayError,
    Problem,
    describe_faults,
    faults_from,
    problem_from,
    request_id,
    shorten,
)
from ml.errors import AffectError

HUME_CODES = {
    "invalid_options": "E0101",
    "validation_failed": "E0101",
    "unsupported_media": "E0200",
    "media_invalid": "E0200",
    "no_streams": "E0202",
    "media_too_long": "E0203",
    "media_too_large_frame": "E0205",
}
"""Code in Hume's table of codes of errors that it has. The others keep the code of this service."""


class HumeRoute(APIRoute):
    """Route whose errors have Hume's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except AffectError as error:
                retry = error.retry_after if isinstance(error, GatewayError) else None
                return error_response(request, problem_from(error), retry)
            except RequestValidationError as error:
                return error_response(
                    request, Problem.from_code("validation_failed", describe_faults(faults_from(error)))
                )
            except HTTPException as error:
                phrase = HTTPStatus(error.status_code).phrase
                return error_response(request, Problem.from_code("validation_failed", phrase, status=error.status_code))
            except RedisError:
                return error_response(
                    request, Problem.from_code("queue_unavailable", "The job queue can't be reached.")
                )

        return handle_errors


def error_response(request: Request, problem: Problem, retry_after: int | None = None) -> Response:
    """Return a problem in Hume's shape."""
    headers = {}
    if (spec := ERRORS.get(problem.code)) and spec.retry_after:
        headers["Retry-After"] = str(DEFAULT_RETRY_SECONDS if retry_after is None else retry_after)
    return Response(
        hume_error(problem, request_id(request.scope)).model_dump_json(exclude_none=True),
        status_code=problem.status,
        headers=headers,
        media_type="application/json",
    )


def hume_error(problem: Problem, id_of_request: str | None = None) -> HumeError:
    """Return a problem in Hume's shape."""
    return HumeError(
        status=problem.status,
        code=HUME_CODES.get(problem.code, problem.code),
        error=problem.title,
        message=shorten(problem.detail or problem.title),
        request_id=id_of_request or None,
    )


def error_responses(*errors: type[AffectError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that can raise these errors."""
    documented: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        spec = ERRORS[error.code]
        response = documented.setdefault(spec.status, {"description": spec.title, "model": HumeError})
        if spec.title not in response["description"]:
            response["description"] += f", or {spec.title[0].lower()}{spec.title[1:]}"
    return documented

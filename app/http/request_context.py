"""Names each request, and tells of it: in the log, in its trace, and to the job that it makes."""

import logging
import re
import time
import uuid
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.metrics import method_of, template_of
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import Span, Traces
from workers.protocol.records import Origin

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
_JOB = re.compile(r"job_[A-Za-z0-9_-]{1,40}")
_WATCHERS = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked again and again by machines: told at DEBUG only."""

_origin: ContextVar[Origin] = ContextVar("affect_origin", default=Origin())  # noqa: B039 (it is frozen)


def current_origin() -> Origin:
    """The request that is being answered."""
    return _origin.get()


class RequestContextMiddleware:
    """Outermost. A request keeps the `X-Request-ID` that it came with where that is a plain one, and is given one
    otherwise; the answer carries it. A `traceparent` is continued. ASGI middleware."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self.app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        name = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = name
        span = self._traces.begin(method_of(scope), "server", headers.get("traceparent"))
        status, began = 500, time.perf_counter()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID.encode(), name.encode())]}
            await send(message)

        token = _origin.set(Origin(request_id=name, traceparent=span.traceparent))
        with logs.about(request_id=name, trace_id=span.trace_id):
            try:
                await self.app(scope, receive, send_named)
            finally:
                _tell(scope, status, time.perf_counter() - began, span)
                _origin.reset(token)


def _tell(scope: Scope, status: int, seconds: float, span: Span) -> None:
    """Neither address nor path of a caller, whatever they hold."""
    method, route = method_of(scope), template_of(scope)
    span.named(f"{method} {route}")
    span.note({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= 500:
        span.failed(str(status))
    span.end()
    job = str(scope.get("path_params", {}).get("job_id", ""))
    fields = {"seconds": round(seconds, 4)} | ({"job_id": job} if _JOB.fullmatch(job) else {})
    level = logging.DEBUG if route in _WATCHERS else logging.INFO
    logger.log(level, "%s %s %d", method, route, status, extra={"fields": fields})

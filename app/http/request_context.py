"""Request context: gives each request an id and a trace, logs it, and passes both on to the jobs it creates."""

import logging
import re
import time
import uuid
from contextvars import ContextVar

from opentelemetry.trace import Span, SpanKind
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.metrics import method_label, route_template
from workers.protocol.observability import logs
from workers.protocol.observability.tracing import Tracing, mark_failed, trace_id_of, traceparent_of
from workers.protocol.records import RequestOrigin

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_JOB_ID = re.compile(r"job_[A-Za-z0-9_-]{1,40}")
_PROBE_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
"""Routes that machines poll: logged at DEBUG only."""

_origin: ContextVar[RequestOrigin] = ContextVar("affect_origin", default=RequestOrigin())  # noqa: B039 (it is frozen)


def current_origin() -> RequestOrigin:
    """Return the id and trace of the current request."""
    return _origin.get()


class RequestContextMiddleware:
    """Outermost ASGI middleware.

    A request keeps its `X-Request-ID` if that is valid, and gets a new one otherwise; the response carries it. A
    `traceparent` (W3C Trace Context) is continued.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        request_id = headers.get(REQUEST_ID_HEADER, "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        span = self._tracing.start_span(method_label(scope), SpanKind.SERVER, headers.get("traceparent"))
        status, started = 500, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                id_header = (REQUEST_ID_HEADER.encode(), request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), id_header]}
            await send(message)

        token = _origin.set(RequestOrigin(request_id=request_id, traceparent=traceparent_of(span)))
        with logs.log_context(request_id=request_id, trace_id=trace_id_of(span)):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                _record_request(scope, status, time.perf_counter() - started, span)
                _origin.reset(token)


def _record_request(scope: Scope, status: int, seconds: float, span: Span) -> None:
    """Log the request and end its span, without the caller's address or the path, which may be personal."""
    method, route = method_label(scope), route_template(scope)
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= 500:
        mark_failed(span, str(status))
    span.end()
    job_id = str(scope.get("path_params", {}).get("job_id", ""))
    fields = {"seconds": round(seconds, 4)} | ({"job_id": job_id} if _JOB_ID.fullmatch(job_id) else {})
    level = logging.DEBUG if route in _PROBE_ROUTES else logging.INFO
    logger.log(level, "%s %s %d", method, route, status, extra={"fields": fields})

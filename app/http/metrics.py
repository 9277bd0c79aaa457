"""Prometheus metrics of one gateway. Each app has its own registry, so that two apps in one process stay separate."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.protocol.observability.metrics import jobs_reaped, scraped_registry

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class GatewayMetrics:
    """Metrics of the gateway's own work."""

    def __init__(self) -> None:
        counts = CollectorRegistry()
        self.requests = Counter(
            "affect_http_requests",
            "Completed requests, by route template.",
            ["method", "route", "status"],
            registry=counts,
        )
        self.seconds = Histogram(
            "affect_http_request_seconds",
            "Seconds from the first byte of a request to the last byte of its response.",
            ["method", "route"],
            buckets=_SECONDS_BUCKETS,
            registry=counts,
        )
        self.running = Gauge(
            "affect_http_requests_in_progress",
            "Requests in progress.",
            registry=counts,
            multiprocess_mode="livesum",
        )
        self.upload_bytes = Counter("affect_upload_bytes", "Bytes of accepted files.", registry=counts)
        self.jobs_created = Counter("affect_jobs_created", "Accepted jobs.", registry=counts)
        self.jobs_cancelled = Counter(
            "affect_jobs_cancelled", "Jobs that were cancelled before a worker claimed them.", registry=counts
        )
        self.jobs_reaped = jobs_reaped(counts)
        self.registry = scraped_registry(counts)
        if self.registry is counts:  # several processes have no common memory, CPU time or start
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)

    def register(self, collector: Collector) -> None:
        """Add a collector that measures at each scrape."""
        self.registry.register(collector)

    def exposition(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class MetricsMiddleware:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        metrics = self._metrics
        status = 500
        started = time.perf_counter()

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with metrics.running.track_inprogress():
                await self.app(scope, receive, send_and_note_status)
        finally:
            method = method_label(scope)
            route = route_template(scope)
            metrics.requests.labels(method, route, status).inc()
            metrics.seconds.labels(method, route).observe(time.perf_counter() - started)


def method_label(scope: Scope) -> str:
    """Return the request's method, or "other" for an unknown one, so that callers cannot create labels."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def route_template(scope: Mapping[str, object]) -> str:
    """Return the route's template such as `/v1/jobs/{job_id}`, never the path: ids must not become labels."""
    return str(getattr(scope.get("route"), "path", "unmatched"))

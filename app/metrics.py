"""Prometheus metrics of one gateway. Each app has a registry of its own, so that two apps in one process stay apart."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "affect_http_requests",
            "Requests answered, by route template.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "affect_http_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.running = Gauge("affect_http_requests_in_progress", "Requests being answered.", registry=self.registry)
        self.upload_bytes = Counter("affect_upload_bytes", "Bytes of the files accepted.", registry=self.registry)
        self.jobs_created = Counter("affect_jobs_created", "Jobs accepted.", registry=self.registry)
        self.queue_depth = Gauge("affect_queue_depth", "Jobs that wait for a worker.", registry=self.registry)
        self.workers = Gauge("affect_workers", "Workers with models loaded.", registry=self.registry)

        self.refusing = Gauge(
            "affect_workers_refusing", "Workers that refuse the published bundle.", registry=self.registry
        )

    def exposition(self) -> bytes:
        return generate_latest(self.registry)


class MetricsMiddleware:
    """Counts and times requests. ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        metrics = self._metrics
        status = 500
        began = time.perf_counter()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with metrics.running.track_inprogress():
                await self.app(scope, receive, send_noting_status)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = _template(scope)
            metrics.requests.labels(method, route, status).inc()
            metrics.seconds.labels(method, route).observe(time.perf_counter() - began)


def _template(scope: Mapping[str, object]) -> str:
    """`/v1/jobs/{job_id}`, never the path itself: ids are no labels."""
    return str(getattr(scope.get("route"), "path", "unmatched"))

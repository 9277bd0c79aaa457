"""The gateway: `uvicorn --factory app.main:create_app`."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields

from fastapi import FastAPI
from prometheus_client import start_http_server
from redis import Redis
from starlette.concurrency import run_in_threadpool

from app import errors
from app.http.metrics import Metrics, MetricsMiddleware
from app.http.rate_limit import RateLimiter, RateLimitHeaders
from app.http.request_context import RequestContextMiddleware
from app.http.security import LoopbackOnly, SecurityHeaders
from app.http.worker_metrics import WorkerCollector
from app.openapi import OpenApiDocument
from app.routes import health, jobs, models, pages, results, stream, tickets, webhooks
from app.schemas import default_problem_response
from app.services.jobs import Jobs
from app.services.readiness import Readiness
from app.services.results import Results
from app.services.streams import Streams
from app.services.tickets import Tickets
from app.services.webhooks import Webhooks
from app.settings import Settings
from workers.protocol.blobs.blobs import Blobs
from workers.protocol.broker import make_celery
from workers.protocol.live.streams import LiveLine
from workers.protocol.observability.tracing import traces_of
from workers.protocol.store.events import EventReader
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.maintenance import Maintenance
from workers.protocol.store.worker_registry import WorkerRegistry

MAINTENANCE_STOP_SECONDS = 3.0
"""For which a turn of the upkeep under way may hold the end up; what it leaves, the next does."""

_ABOUT = """How the people in a photo, a recording or a video come across, moment by moment.

Post media, get a job, poll it, fetch a timeline. Errors are `application/problem+json` (RFC 9457): decide by `code`."""


@dataclass(frozen=True)
class Services:
    """What the routes call."""

    jobs: Jobs
    outputs: Results
    fleet: Readiness
    tickets: Tickets
    limiter: RateLimiter
    webhooks: Webhooks
    streams: Streams


@asynccontextmanager
async def open_services(settings: Settings, metrics: Metrics) -> AsyncIterator[Services]:
    """The services of one gateway, and its upkeep in a thread. A Redis that is away shows at the first call."""
    redis = Redis.from_url(settings.redis_url)
    job_store, blobs, celery = JobStore(redis, settings), Blobs.of(settings), make_celery(settings)
    events, line = EventReader.connect(settings), LiveLine.connect(settings)
    ended = threading.Event()
    roster = WorkerRegistry(redis)
    upkeep = Maintenance(
        job_store, blobs, celery, settings, on_reaped=lambda status: metrics.jobs_reaped.labels(status).inc()
    )
    thread = threading.Thread(target=upkeep.run_until, args=(ended,), name="upkeep", daemon=True)
    thread.start()
    metrics.register(WorkerCollector(job_store, roster, settings))
    fleet = Readiness(job_store, roster, blobs)
    jobs = Jobs(job_store, events, blobs, celery, settings, metrics)
    try:
        yield Services(
            jobs=jobs,
            outputs=Results(jobs, events, blobs),
            fleet=fleet,
            tickets=Tickets(redis),
            limiter=RateLimiter(redis, settings.requests_per_minute),
            webhooks=Webhooks(job_store, blobs, celery, settings),
            streams=Streams(line, fleet, celery, settings),
        )
    finally:
        ended.set()
        await run_in_threadpool(thread.join, MAINTENANCE_STOP_SECONDS)
        await events.close()
        await line.close()
        redis.close()


@contextmanager
def metrics_server(settings: Settings, metrics: Metrics) -> Iterator[None]:
    """Shows the metrics at the port of their own, where there is one. Raises OSError when it is taken."""
    if settings.metrics_port is None:
        yield
        return
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, metrics.registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def create_app(settings: Settings | None = None) -> FastAPI:
    """A gateway of its own: nothing is shared with another in the process. Settings come from the environment."""
    settings = settings or Settings()
    metrics = Metrics()
    traces = traces_of("gateway", settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, metrics) as services:
            for field in fields(services):
                setattr(app.state, field.name, getattr(services, field.name))
            with metrics_server(settings, metrics):
                yield
        await run_in_threadpool(traces.close)

    app = FastAPI(
        title="Affect",
        version="0.1.0",
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # ours, in routes.pages: theirs loads from elsewhere
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=default_problem_response(),
    )
    app.state.settings = settings
    app.state.metrics = metrics
    errors.install(app)
    app.webhooks.include_router(webhooks.told)
    for module in (jobs, results, stream, tickets, models, webhooks, health, pages):
        app.include_router(module.router)
    if settings.metrics_port is None:
        app.include_router(health.scraped)
    app.openapi = OpenApiDocument(app)  # type: ignore[method-assign]
    # The last one added is the outermost.
    if settings.requests_per_minute:
        app.add_middleware(RateLimitHeaders, per_minute=settings.requests_per_minute)
    if not settings.api_keys:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(errors.ErrorBoundary)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestContextMiddleware, traces=traces)
    return app

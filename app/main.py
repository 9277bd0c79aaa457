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
from app.compat.hume import routes as hume_routes
from app.compat.hume import stream as hume_stream
from app.compat.hume.batches import HumeBatches
from app.compat.hume.stream import HumeStreamJobs
from app.compat.hume.submission import HumeSubmission
from app.http.concurrency_limit import ConcurrencyLimit
from app.http.metrics import GatewayMetrics, MetricsMiddleware
from app.http.rate_limit import RateLimitHeaders
from app.http.rate_limiter import RateLimiter
from app.http.request_context import RequestContextMiddleware
from app.http.security import LoopbackOnly, SecurityHeaders
from app.http.server_logs import hide_callers
from app.openapi import OpenApiDocument
from app.routes import exports, health, jobs, models, pages, ratings, results, shares, stream, tickets, webhooks
from app.schemas import default_problem_response
from app.services.exports import JobExports
from app.services.job_editor import JobEditor
from app.services.jobs import JobQueries
from app.services.ratings import Ratings
from app.services.readiness import Readiness
from app.services.request_cache import RequestCache
from app.services.results import Results
from app.services.shares import Shares
from app.services.streams import LiveStreams
from app.services.submission import JobSubmission
from app.services.summary_cache import SummaryCache
from app.services.tickets import Tickets
from app.services.webhooks import Webhooks
from app.services.worker_metrics import WorkerCollector
from app.settings import Settings
from ml.version import software_version
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.broker import make_celery
from workers.protocol.live.streams import GatewayStreams
from workers.protocol.observability.tracing import make_tracing
from workers.protocol.store.events import EventReader
from workers.protocol.store.job_store import JobStore, require_supported_layout
from workers.protocol.store.maintenance import Maintenance
from workers.protocol.store.worker_registry import WorkerRegistry

MAINTENANCE_STOP_SECONDS = 3.0
"""Maximum seconds that shutdown waits for a running maintenance pass. The next pass finishes what it leaves."""

_DESCRIPTION = """Estimates the emotions that people express in a photo, a recording or a video, moment by moment.

Submit media to create a job, poll the job, fetch the result. Errors are `application/problem+json` (RFC 9457): check
`code`."""


@dataclass(frozen=True)
class Services:
    """The services that routes use, by their names in the app's state."""

    submission: JobSubmission
    jobs: JobQueries
    job_editor: JobEditor
    results: Results
    exports: JobExports
    readiness: Readiness
    registry: WorkerRegistry
    tickets: Tickets
    limiter: RateLimiter
    webhooks: Webhooks
    streams: LiveStreams
    ratings: Ratings
    shares: Shares
    hume_submission: HumeSubmission
    hume_batches: HumeBatches
    hume_stream_jobs: HumeStreamJobs


@asynccontextmanager
async def open_services(settings: Settings, metrics: GatewayMetrics) -> AsyncIterator[Services]:
    """Open the services of one gateway, and run maintenance in a thread. If Redis is unreachable, the first call
    fails, not this function. Raises UnsupportedLayout."""
    await run_in_threadpool(require_supported_layout, settings)
    redis = Redis.from_url(settings.redis_url)
    job_store, blobs, celery = JobStore(redis, settings), BlobStore.from_settings(settings), make_celery(settings)
    events, gateway_streams = EventReader.connect(settings), GatewayStreams.connect(settings)
    registry = WorkerRegistry(redis)
    maintenance = Maintenance(
        job_store, blobs, celery, settings, on_reaped=lambda status: metrics.jobs_reaped.labels(status).inc()
    )
    stopping = threading.Event()
    thread = threading.Thread(target=maintenance.run_until, args=(stopping,), name="maintenance", daemon=True)
    thread.start()
    metrics.register(WorkerCollector(job_store, registry, settings))
    readiness = Readiness(job_store, registry, blobs)
    requests = RequestCache(blobs)
    jobs = JobQueries(requests, SummaryCache(blobs), job_store, events, blobs, celery, settings, metrics)
    submission = JobSubmission(jobs, requests, job_store, blobs, celery, settings, metrics)
    results = Results(jobs, events, blobs)
    try:
        yield Services(
            submission=submission,
            jobs=jobs,
            job_editor=JobEditor(jobs, job_store, blobs),
            results=results,
            exports=JobExports(jobs),
            readiness=readiness,
            registry=registry,
            tickets=Tickets(redis),
            limiter=RateLimiter(redis, settings.requests_per_minute),
            webhooks=Webhooks(job_store, blobs, celery, settings),
            streams=LiveStreams(gateway_streams, readiness, celery, settings),
            ratings=Ratings(jobs, job_store, blobs),
            shares=Shares(jobs, job_store, blobs),
            hume_submission=HumeSubmission(submission, blobs, settings),
            hume_batches=HumeBatches(jobs, results, job_store, blobs),
            hume_stream_jobs=HumeStreamJobs(submission, jobs, blobs),
        )
    finally:
        stopping.set()
        await run_in_threadpool(thread.join, MAINTENANCE_STOP_SECONDS)
        await events.close()
        await gateway_streams.close()
        redis.close()


@contextmanager
def metrics_server(settings: Settings, metrics: GatewayMetrics) -> Iterator[None]:
    """Serve the metrics on their own port, if one is set. Raises OSError if the port is taken."""
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
    """Create a gateway that shares nothing with others in the process. Settings default to the environment."""
    settings = settings or Settings()
    hide_callers()
    metrics = GatewayMetrics()
    tracing = make_tracing("gateway", settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, metrics) as services:
            for field in fields(services):
                setattr(app.state, field.name, getattr(services, field.name))
            with metrics_server(settings, metrics):
                yield
        await run_in_threadpool(tracing.shut_down)

    app = FastAPI(
        title="Affect",
        version=software_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # app.routes.pages serves our own: FastAPI's loads scripts from other hosts
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=default_problem_response(),
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.concurrency = ConcurrencyLimit(settings.concurrent_per_key)
    errors.install(app)
    app.webhooks.include_router(webhooks.published)
    for module in (jobs, results, exports, ratings, shares, stream, tickets, models, webhooks, health, pages):
        app.include_router(module.router)
    for compatible in (hume_routes, hume_stream):
        app.include_router(compatible.router)
    if settings.metrics_port is None:
        app.include_router(health.metrics_router)
    app.openapi = OpenApiDocument(app)  # type: ignore[method-assign]
    # The middleware added last is the outermost.
    if settings.requests_per_minute:
        app.add_middleware(RateLimitHeaders, per_minute=settings.requests_per_minute)
    if not settings.api_keys:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(errors.ErrorBoundary)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestContextMiddleware, tracing=tracing)
    return app

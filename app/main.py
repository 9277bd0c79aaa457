"""The gateway: `uvicorn --factory app.main:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import errors
from app.jobs import Jobs
from app.metrics import Metrics, MetricsMiddleware
from app.routes import health, jobs, pages
from app.schemas import any_problem
from app.security import LoopbackOnly, SecurityHeaders
from app.settings import Settings

_ABOUT = """How the people in a photo, a recording or a video come across, moment by moment.

Post media, get a job, poll it, fetch a timeline. Errors are `application/problem+json` (RFC 9457): decide by `code`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """A gateway of its own: nothing is shared with another in the process. Settings come from the environment."""
    settings = settings or Settings()
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs.connect(settings, metrics)
        yield

    app = FastAPI(
        title="Affect",
        version="0.1.0",
        description=_ABOUT,
        lifespan=lifespan,
        redoc_url=None,
        separate_input_output_schemas=False,
        responses=any_problem(),
    )
    app.state.settings = settings
    app.state.metrics = metrics
    errors.install(app)
    for module in (jobs, health, pages):
        app.include_router(module.router)
    # The last one added is the outermost.
    if not settings.api_keys:
        app.add_middleware(LoopbackOnly)
    app.add_middleware(errors.ErrorBoundary)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    return app

"""For those who run the service: is it alive, is it ready, how is it doing."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from app.dependencies import FleetOf, MetricsOf
from app.errors import Fault, Problem, problem_response
from app.schemas import Health, problem_responses

router = APIRouter(tags=["health"])
scraped = APIRouter(tags=["health"])
"""Left out where metrics have a port of their own."""


@router.get("/livez")
async def livez() -> Health:
    """The process answers."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses=problem_responses("queue_unavailable"))
async def readyz(request: Request, fleet: FleetOf) -> Health | Response:
    """Work can be accepted and done: Redis and the blob store answer, and at least one worker has its models in
    memory. 503 says which does not."""
    missing = await fleet.problems()
    if not missing:
        return Health(status="ready")
    faults = tuple(Fault(location=name, message=reason) for name, reason in missing.items())
    return problem_response(request, Problem.from_code("queue_unavailable", " ".join(missing.values()), errors=faults))


@scraped.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(metrics: MetricsOf) -> Response:
    """Prometheus metrics of this gateway."""
    return Response(await run_in_threadpool(metrics.exposition), media_type=CONTENT_TYPE_LATEST)

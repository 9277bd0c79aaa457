"""Liveness, readiness and metrics, for operators."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from app.dependencies import MetricsDep, ReadinessDep
from app.errors import Fault, Problem, QueueUnavailable, problem_response
from app.schemas import Health, problem_responses

router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])
"""Router of `/metrics`; omitted if metrics have their own port."""


@router.get("/livez")
async def livez() -> Health:
    """Report that the process is alive."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses=problem_responses(QueueUnavailable))
async def readyz(request: Request, readiness: ReadinessDep) -> Health | Response:
    """Report whether the service can accept and process work: Redis and the blob store answer, and at least one worker
    has its models in memory. Status 503 lists the problems."""
    problems = await readiness.problems()
    if not problems:
        return Health(status="ready")
    faults = tuple(Fault(location=name, message=reason) for name, reason in problems.items())
    problem = Problem.from_code(QueueUnavailable.code, " ".join(problems.values()), errors=faults)
    return problem_response(request, problem)


@metrics_router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(metrics: MetricsDep) -> Response:
    """Return the Prometheus metrics of this gateway."""
    return Response(await run_in_threadpool(metrics.exposition), media_type=CONTENT_TYPE_LATEST)

"""The models that are served now."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from app.dependencies import Owner, RegistryDep
from app.schemas import CALLER_ERRORS, ModelList, problem_responses
from app.services.served_models import list_models

router = APIRouter(prefix="/v1/models", tags=["models"], responses=problem_responses(*CALLER_ERRORS))


@router.get("")
async def get_models(registry: RegistryDep, owner: Owner) -> ModelList:
    """List the models that workers have in memory, with their published metrics and licences."""
    return list_models(await run_in_threadpool(registry.workers))

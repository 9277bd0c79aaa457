"""The models that answer now."""

from fastapi import APIRouter

from app.dependencies import FleetOf, Owner
from app.schemas import CALLERS, ModelList, problem_responses

router = APIRouter(prefix="/v1/models", tags=["models"], responses=problem_responses(*CALLERS))


@router.get("")
async def get_models(fleet: FleetOf, owner: Owner) -> ModelList:
    """The models that workers hold in memory, with the figures and the licence that they were published with."""
    return await fleet.models()

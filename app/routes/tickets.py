"""Tickets for what cannot send a header."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from app.dependencies import Owner, TicketsOf
from app.schemas import CALLERS, Ticket, problem_responses

router = APIRouter(prefix="/v1/tickets", tags=["tickets"], responses=problem_responses(*CALLERS))


@router.post("", status_code=201)
async def create_ticket(tickets: TicketsOf, owner: Owner) -> Ticket:
    """A ticket of 60 seconds: `?ticket=` stands for the key at a job's events, media and artifacts, and at the live
    stream."""
    return await run_in_threadpool(tickets.issue, owner)

"""Tickets for clients that cannot send a header."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from app.dependencies import Owner, TicketsDep
from app.schemas import CALLER_ERRORS, Ticket, problem_responses

router = APIRouter(prefix="/v1/tickets", tags=["tickets"], responses=problem_responses(*CALLER_ERRORS))


@router.post("", status_code=201)
async def create_ticket(tickets: TicketsDep, owner: Owner) -> Ticket:
    """Create a ticket that is valid for 60 seconds: `?ticket=` replaces the key for a job's events, media and
    artifacts, and for the live stream."""
    return await run_in_threadpool(tickets.issue, owner)

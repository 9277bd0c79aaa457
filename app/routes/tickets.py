"""Tickets for clients that cannot send a header."""

from typing import Annotated

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from app.dependencies import Owner, TicketsDep, json_body
from app.errors import ValidationFailed
from app.http.bodies import json_request_body
from app.schemas import CALLER_ERRORS, Ticket, TicketScope, problem_responses
from ml.errors import FileTooLarge

router = APIRouter(prefix="/v1/tickets", tags=["tickets"], responses=problem_responses(*CALLER_ERRORS))


@router.post(
    "",
    status_code=201,
    openapi_extra=json_request_body(TicketScope, required=False),
    responses=problem_responses(ValidationFailed, FileTooLarge),
)
async def create_ticket(
    tickets: TicketsDep, owner: Owner, scope: Annotated[TicketScope, json_body(TicketScope, required=False)]
) -> Ticket:
    """Create a ticket that is valid for 60 seconds: `?ticket=` replaces the key for a job's events, media or artifacts,
    or for a live stream.

    A ticket opens one of these, for one job. Name both in the body; what you leave out is settled by the first request
    that uses the ticket. Within the 60 seconds it may be used again, for the ranges of a player or the reconnection of
    an event source. A live stream can be opened only once, and so can events if the body does not name both."""
    return await run_in_threadpool(tickets.issue, owner, scope)

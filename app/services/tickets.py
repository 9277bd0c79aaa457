"""Tickets: short-lived substitutes for the API key, for clients that cannot send a header (a video element, an event
source, a browser's WebSocket)."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis

from app.errors import Unauthorized
from app.schemas import Ticket, TicketPurpose, TicketScope
from workers.protocol.store.keys import KEY_PREFIX

TICKET_SECONDS = 60
"""Seconds that a ticket is valid."""

# KEYS: the ticket. ARGV: what it is used for: purpose, id of the job ('' for a stream).
# Returns: the owner, or nothing if the ticket is unknown or bound to something else.
_USE = """
local text, purpose, job = redis.call('GET', KEYS[1]), ARGV[1], ARGV[2]
if not text then return false end
local ticket = cjson.decode(text)
if (ticket.purpose or purpose) ~= purpose or (ticket.job or job) ~= job then return false end
local bound = ticket.purpose and ticket.job
if purpose == 'stream' or (purpose == 'events' and not bound) then
  redis.call('DEL', KEYS[1])
elseif not bound then
  ticket.purpose, ticket.job = purpose, job
  redis.call('SET', KEYS[1], cjson.encode(ticket), 'KEEPTTL')
end
return ticket.owner
"""


@dataclass(frozen=True)
class TicketUse:
    """Use that a request makes of a ticket. `job_id` is empty for a stream."""

    purpose: TicketPurpose
    job_id: str = ""


class Tickets:
    """Issues and accepts tickets.

    A ticket opens one thing: what it was issued for, and where that was left open, what it is used for first. Within
    its time a player may request one range after another, and an event source reconnect if the ticket was issued for
    the events of its job. A stream is opened once.

    Redis holds only digests of tickets, so that every gateway accepts them and none can be read there.
    """

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = f"{prefix}ticket:"
        self._use = redis.register_script(_USE)

    def issue(self, owner: str, scope: TicketScope) -> Ticket:
        """Return a new ticket. Raises RedisError."""
        ticket = secrets.token_urlsafe(24)
        content = {"owner": owner, **scope.model_dump(exclude_none=True)}
        if scope.purpose == "stream":
            content["job"] = ""
        self._redis.set(self._key(ticket), json.dumps(content), ex=TICKET_SECONDS)
        return Ticket(ticket=ticket, expires_at=datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS))

    def owner_of(self, ticket: str, use: TicketUse) -> str:
        """Use a ticket and return the caller that it was issued to. Raises Unauthorized if it is invalid, has expired
        or does not permit this use; RedisError."""
        owner = cast(bytes | None, self._use([self._key(ticket)], [use.purpose, use.job_id]))
        if owner is None:
            raise Unauthorized("The ticket is invalid, has expired, or is for something else.")
        return owner.decode()

    def _key(self, ticket: str) -> str:
        return self._prefix + hashlib.sha256(ticket.encode("utf-8", "surrogateescape")).hexdigest()

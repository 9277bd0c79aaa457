"""Tickets: short-lived substitutes for the API key, for clients that cannot send a header (a video element, an event
source, a browser's WebSocket)."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis

from app.errors import Unauthorized
from app.schemas import Ticket
from workers.protocol.store.keys import KEY_PREFIX

TICKET_SECONDS = 60
"""Seconds that a ticket is valid."""


class Tickets:
    """Issues and validates tickets.

    Redis holds only their digests, so that every gateway accepts them and none can be read there. A ticket may be used
    repeatedly while it is valid: a player requests one range after another.
    """

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = f"{prefix}ticket:"

    def issue(self, owner: str) -> Ticket:
        """Return a new ticket. Raises RedisError."""
        ticket = secrets.token_urlsafe(24)
        self._redis.set(self._key(ticket), owner, ex=TICKET_SECONDS)
        return Ticket(ticket=ticket, expires_at=datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS))

    def owner_of(self, ticket: str) -> str:
        """Return the caller that the ticket was issued to. Raises Unauthorized if it is invalid or expired;
        RedisError."""
        owner = cast(bytes | None, self._redis.get(self._key(ticket)))
        if owner is None:
            raise Unauthorized("The ticket is invalid or has expired.")
        return owner.decode()

    def _key(self, ticket: str) -> str:
        return self._prefix + hashlib.sha256(ticket.encode("utf-8", "surrogateescape")).hexdigest()

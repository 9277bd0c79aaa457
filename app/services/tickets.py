"""Tickets: for a minute they stand for the caller's key, where no header can be sent (a video, an event source, a
WebSocket of a browser)."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis

from app.errors import Unauthorized
from app.schemas import Ticket
from workers.protocol.store.job_store import KEY_PREFIX

LIFE_SECONDS = 60


class Tickets:
    """Kept in Redis by their digests, so that any gateway honours them and none can be read there. A ticket may be
    used again while it lives: a player asks for one range after the other."""

    def __init__(self, redis: Redis, prefix: str = KEY_PREFIX) -> None:
        self._redis = redis
        self._prefix = f"{prefix}ticket:"

    def issue(self, owner: str) -> Ticket:
        """Raises RedisError."""
        ticket = secrets.token_urlsafe(24)
        self._redis.set(self._key(ticket), owner, ex=LIFE_SECONDS)
        return Ticket(ticket=ticket, expires_at=datetime.now(UTC) + timedelta(seconds=LIFE_SECONDS))

    def owner_of(self, ticket: str) -> str:
        """Whose ticket it is. Raises Unauthorized for one that is none, or no more; RedisError."""
        owner = cast(bytes | None, self._redis.get(self._key(ticket)))
        if owner is None:
            raise Unauthorized("The ticket is not valid, or no more.")
        return owner.decode()

    def _key(self, ticket: str) -> str:
        return self._prefix + hashlib.sha256(ticket.encode("utf-8", "surrogateescape")).hexdigest()

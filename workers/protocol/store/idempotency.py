"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again creates no second job.

A key is reserved before the body is read, renewed while it arrives, and stored together with the jobs in the step that
creates them (`JobStore.create`). If a gateway dies, the key therefore stands for these jobs or, soon, for nothing.
Redis holds digests only, and of a deleted job not even its id.
"""

import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import Any

from redis import Redis

from workers.protocol.store.keys import IDEMPOTENCY_PREFIX
from workers.protocol.store.scripts import Scripts

RESERVATION_TTL_SECONDS = 30.0
"""Seconds after which a reservation that was not renewed expires: its gateway has died."""
_RESERVATION_TTL_MILLISECONDS = math.ceil(RESERVATION_TTL_SECONDS * 1000)


@dataclass(frozen=True)
class Reservation:
    """Key that is reserved for one request. It is stored with the jobs for `ttl_seconds`, together with the
    `fingerprint` of the request."""

    key_digest: str
    holder: str
    fingerprint: str = ""
    ttl_seconds: float = 86400.0


@dataclass(frozen=True)
class CompletedRequest:
    """Earlier request with the key: its fingerprint and its jobs. None stands for a deleted job."""

    fingerprint: str
    job_ids: tuple[str | None, ...]


@dataclass(frozen=True)
class RequestInProgress:
    """Another request has reserved the key. `expires_in_seconds`: when the reservation expires if its gateway died."""

    expires_in_seconds: float


class IdempotencyStore:
    """Reservations of idempotency keys. Safe to share between threads. Every method raises RedisError."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._prefix = prefix + IDEMPOTENCY_PREFIX
        self._scripts = Scripts(redis, "idempotency")

    def _run(self, script: str, digest: str, *values: str | float) -> Any:
        return self._scripts.run(script, *values, keys=(self._prefix + digest,))

    def reserve(self, owner: str, key: str) -> Reservation | CompletedRequest | RequestInProgress:
        """Reserve a key of an owner, unless it is reserved or was used."""
        digest, holder = hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest(), secrets.token_hex(16)
        reply = self._run("reserve", digest, holder, _RESERVATION_TTL_MILLISECONDS)
        if isinstance(reply, list):
            fingerprint, ids = reply
            job_ids = (None if job_id == b"deleted" else job_id.decode() for job_id in ids.split())
            return CompletedRequest(fingerprint.decode(), tuple(job_ids))
        return Reservation(digest, holder) if reply == -1 else RequestInProgress(max(0.0, reply / 1000))

    def renew(self, reservation: Reservation) -> None:
        """Renew a reservation while its request is read. Call again within `RESERVATION_TTL_SECONDS`."""
        self._run("renew", reservation.key_digest, reservation.holder, _RESERVATION_TTL_MILLISECONDS)

    def release(self, reservation: Reservation) -> None:
        """Free the key of a request that created no jobs. If jobs were created after all, the key stays theirs."""
        self._run("release", reservation.key_digest, reservation.holder)

    def rollback(self, reservation: Reservation) -> None:
        """Free the key of a request that created jobs which have been deleted again."""
        self._run("rollback", reservation.key_digest, reservation.holder)

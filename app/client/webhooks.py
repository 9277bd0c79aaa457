"""Verification of received webhooks (Standard Webhooks 1.0)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .model_base import ApiModel

TOLERANCE_SECONDS = 300.0
"""Maximum difference between the time of a webhook and now, in seconds."""
MIN_KEY_BYTES = 24
"""Minimum bytes of a secret."""


class NotVerified(Exception):
    """The request is not a webhook, has no valid signature, or is too old: respond with 400 and ignore it."""


class WebhookEvent(ApiModel):
    """A verified webhook.

    `type`: `job.succeeded`, `job.failed`, `job.cancelled` or `webhook.test`. `id`: the same for every delivery of this
    event, so that you can ignore repetitions, whether of this service or of someone who recorded the request.
    """

    id: str
    type: str
    timestamp: datetime
    data: dict[str, Any]

    @property
    def job_id(self) -> str | None:
        """Id of the job, None for a test."""
        return self.data.get("id")


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE_SECONDS,
) -> WebhookEvent:
    """Verify a request and return its event.

    `body`: the unmodified bytes of the request. `secrets`: `whsec_…`, or several during a rotation. `tolerance`:
    maximum age in seconds. A repetition within that time is valid: ignore an id that you have processed.

    Raises NotVerified; ValueError if a secret is invalid.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (lower.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    received = {signature.removeprefix("v1,") for signature in signatures.split() if signature.startswith("v1,")}
    expected = [_signature(secret, signed) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not any(hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in received):
        raise NotVerified("no signature matches")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > tolerance:
        raise NotVerified("the timestamp is too old or in the future")
    try:
        return WebhookEvent.model_validate({**json.loads(body), "id": message_id})
    except (ValueError, TypeError) as error:
        raise NotVerified("the body is not a webhook of Affect") from error


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) < MIN_KEY_BYTES:  # an empty variable must not accept what anyone can sign
        raise ValueError(f"a secret is written whsec_… with at least {MIN_KEY_BYTES} bytes in base64")
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

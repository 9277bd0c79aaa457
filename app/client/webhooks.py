"""For those who receive webhooks: is it from the service, and is it new (Standard Webhooks 1.0)?"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .models import Told

TOLERANCE_SECONDS = 300.0


class NotVerified(Exception):
    """The webhook is not signed with any of these secrets, or too old, or no webhook: answer 400 and do nothing."""


class WebhookEvent(Told):
    """`type`: `job.succeeded`, `job.failed`, `job.cancelled` or `webhook.test`. `id`: the same each time that this
    event is sent, so that it is acted upon once."""

    id: str
    type: str
    timestamp: datetime
    data: dict[str, Any]

    @property
    def job_id(self) -> str | None:
        return self.data.get("id")


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Iterable[str],
    *,
    tolerance: float = TOLERANCE_SECONDS,
) -> WebhookEvent:
    """The event that a request holds. `body`: as it came, byte by byte. `secrets`: `whsec_…`; several while they are
    changed. Raises NotVerified, or ValueError for a secret that is none."""
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    sent = {signature.removeprefix("v1,") for signature in signatures.split() if signature.startswith("v1,")}
    expected = [_signature(secret, signed) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in sent):
        raise NotVerified("no signature fits")
    if not timestamp.isascii() or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > tolerance:
        raise NotVerified("it was not sent just now")
    try:
        return WebhookEvent.model_validate({**json.loads(body), "id": message_id})
    except (ValueError, TypeError) as error:
        raise NotVerified("it is no webhook of Affect") from error


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a secret is written whsec_…, in base64") from None
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

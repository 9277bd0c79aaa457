"""Signatures of webhooks, after Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256, version `v1`."""

import base64
import hashlib
import hmac
from collections.abc import Iterable

from workers.protocol.settings import WebhookSecret


def signature(secrets: Iterable[WebhookSecret], message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature per secret, so that a receiver can change its secret.

    `timestamp` is in seconds since 1970.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    macs = (hmac.new(secret.key, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)

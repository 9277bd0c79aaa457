"""Signatures of webhooks, after Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256, version `v1`."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


@dataclass(frozen=True)
class WebhookSecret:
    """The caller whose webhooks are signed with it, and the key."""

    name: str
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `name:whsec_…`, the rest being 24 to 64 bytes in base64. Raises ValueError, which does not quote it."""
        name, _, secret = text.strip().partition(":")
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not name or not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
            raise ValueError("a webhook secret is written name:whsec_…, with 24 to 64 bytes in base64")
        return cls(name, key)


def signature(secrets: Iterable[WebhookSecret], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one for each secret, so that a receiver may change from one to another."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    macs = (hmac.new(secret.key, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)

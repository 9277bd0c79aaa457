"""Secrets that sign webhooks."""

import base64
import secrets


def new_secret(size: int = 32) -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(size)).decode()}"

"""Calls of a gateway: keys, the header that carries one, and the check of a problem in a response."""

import hashlib
from typing import Any

import httpx


def key(name: str, secret: str) -> str:
    """Return an entry of `AFFECT_API_KEYS`."""
    return f"{name}:{hashlib.sha256(secret.encode()).hexdigest()}"


KEYS = ",".join([key("ann", "old"), key("ann", "new"), key("bob", "bobs")])
"""Setting `AFFECT_API_KEYS` with two keys of Ann and one of Bob."""


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem in a response, after checking that it is a proper one."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["request_id"] == response.headers["x-request-id"]
    return dict(response.json())

"""Webhooks as a receiver reads them with the client: against the service's own signing and the reference library's."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from app.client import NotVerified, verify
from tests.webhook_secrets import new_secret
from workers.protocol.webhooks.signing import WebhookSecret, signature

OLD, NEW, OTHER = new_secret(), new_secret(), new_secret()
BODY = json.dumps({"type": "job.succeeded", "timestamp": "2026-01-01T00:00:00+00:00", "data": {"id": "job_1"}}).encode()


def headers(*secrets: str, body: bytes = BODY, at: float | None = None) -> dict[str, str]:
    now = int(time.time() if at is None else at)
    signed = signature([WebhookSecret.parse(f"ann:{secret}") for secret in secrets], "msg_1", now, body)
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(now), "Webhook-Signature": signed}


@pytest.mark.parametrize("secrets", [OLD, [OLD], [NEW], [OTHER, NEW]], ids=["one", "old", "new", "other"])
def test_verify_signed_by_service_returns_event(secrets: str | list[str]) -> None:
    event = verify(BODY, headers(OLD, NEW), secrets)
    assert (event.id, event.type, event.job_id) == ("msg_1", "job.succeeded", "job_1")


def test_verify_signed_by_reference_library_returns_event() -> None:
    now = datetime.now(UTC)
    signed = Webhook(OLD).sign("msg_1", now, BODY.decode())
    sent = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": f"v2,x {signed}",
    }
    assert verify(BODY, sent, OLD).type == "job.succeeded"


def test_verify_other_request_raises() -> None:
    good = headers(OLD)
    wrong = [
        (BODY, {}),
        (BODY, headers(OTHER)),
        (BODY + b" ", good),
        (BODY, good | {"Webhook-Id": "msg_2"}),
        (BODY, good | {"Webhook-Timestamp": str(int(time.time()) + 1)}),
        (BODY, good | {"Webhook-Signature": good["Webhook-Signature"].replace("v1,", "v2,")}),
        (BODY, good | {"Webhook-Signature": "v1,é"}),
        (BODY, headers(OLD, at=time.time() - 400)),
        (BODY, headers(OLD, at=time.time() + 400)),
        (b"[]", headers(OLD, body=b"[]")),
        (b"\xff", headers(OLD, body=b"\xff")),
        (b"{}", headers(OLD, body=b"{}")),
    ]
    for body, sent in wrong:
        with pytest.raises(NotVerified):
            verify(body, sent, OLD)
    with pytest.raises(ValueError, match="whsec_"):
        verify(BODY, good, "whsec_!")


def test_verify_replayed_request_has_same_id_until_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    captured, now = headers(OLD), time.time()
    assert {verify(BODY, captured, OLD).id for _ in range(3)} == {"msg_1"}
    assert verify(BODY, headers(OLD, at=now - 290), OLD).id == "msg_1"
    for later, tolerance in ((310, 300.0), (40, 30.0)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        with pytest.raises(NotVerified, match="too old"):
            verify(BODY, captured, OLD, tolerance=tolerance)


def test_verify_replayed_with_fresh_time_or_id_raises() -> None:
    captured = headers(OLD, at=time.time() - 400)
    for changed in ({"Webhook-Timestamp": str(int(time.time()))}, {"Webhook-Id": "msg_2"}, {"Webhook-Id": ""}):
        with pytest.raises(NotVerified, match="no signature"):
            verify(BODY, captured | changed, OLD)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_!"])
def test_verify_secret_that_anyone_could_guess_is_invalid(secret: str) -> None:
    forged = base64.b64encode(hmac.new(b"", b"msg_1.1." + BODY, hashlib.sha256).digest()).decode()
    sent = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": f"v1,{forged}"}
    with pytest.raises(ValueError, match="whsec_"):
        verify(BODY, sent, secret, tolerance=float("inf"))
    with pytest.raises(ValueError, match="whsec_"):
        verify(BODY, sent, [OLD, secret])


@pytest.mark.parametrize("secrets", [[], ()])
def test_verify_without_secrets_raises(secrets: list[str]) -> None:
    with pytest.raises(NotVerified):
        verify(BODY, headers(OLD), secrets)

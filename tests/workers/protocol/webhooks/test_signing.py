"""Signatures as the reference library of Standard Webhooks reads them."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from tests.webhook_secrets import new_secret
from workers.protocol.settings import SharedSettings
from workers.protocol.webhooks.signing import WebhookSecret, signature


@given(st.dictionaries(st.text(), st.text()))
def test_signature_is_verified_by_the_reference_library(content: dict[str, str]) -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    body, now = json.dumps(content).encode(), int(time.time())
    signed = signature([WebhookSecret.parse(f"ann:{each}") for each in (old, new)], "msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signed}
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers) == content
    for wrong in ((other, body, headers), (old, body + b" ", headers), (old, body, headers | {"webhook-id": "msg_2"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(wrong[0]).verify(wrong[1], wrong[2])


def of_zeros(size: int) -> str:
    return f"whsec_{base64.b64encode(bytes(size)).decode()}"


WRONG = ["", "ann", "ann:", "ann:secret", f":{of_zeros(32)}", "ann:whsec_", "ann:whsec_!!!!", f"ann:{of_zeros(23)}"]


@pytest.mark.parametrize("text", [*WRONG, f"ann:{of_zeros(65)}", f"ann:{of_zeros(32)[6:]}"])
def test_parse_invalid_secret_is_rejected_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="name:whsec_") as refused:
        WebhookSecret.parse(text)
    assert text == "" or text not in str(refused.value)


def test_webhook_secrets_setting_holds_several_per_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_WEBHOOK_SECRETS", f"ann:{new_secret()}, ann:{new_secret()},bob:{new_secret(24)}")
    configured = SharedSettings().webhook_secrets
    assert [secret.name for secret in configured] == ["ann", "ann", "bob"]
    assert "key" not in repr(configured) and "whsec" not in repr(SharedSettings())

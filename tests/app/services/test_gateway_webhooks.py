"""Webhooks at the gateway; in place of a worker, a test that sends them itself."""

import ipaddress
import threading

import httpx
import pytest

from app.services import webhooks
from tests.app.conftest import Gateway, OpenGateway
from tests.loopback import loopback
from tests.webhook_secrets import new_secret
from workers.outbound.webhook_sender import WebhookPolicy, WebhookSender
from workers.protocol.broker import make_celery, pending_wake_ups
from workers.protocol.net.ssrf import EgressPolicy

HOOK = "https://hooks.example/affect?token=secret"


@pytest.fixture
def gateway(open_gateway: OpenGateway) -> Gateway:
    return open_gateway(webhook_secrets=f"local:{new_secret()}", egress_allow="127.0.0.0/8")


def sender(gateway: Gateway) -> WebhookSender:
    egress = EgressPolicy((ipaddress.ip_network("127.0.0.0/8"),))
    return WebhookSender(
        gateway.job_store, gateway.blobs, egress, gateway.settings.webhook_secrets, WebhookPolicy(15, (5,))
    )


def deliveries(gateway: Gateway, job_id: str) -> dict:
    return dict(gateway.client.get(f"/v1/jobs/{job_id}/deliveries").raise_for_status().json())


def test_deliveries_list_attempts(gateway: Gateway) -> None:
    with loopback(lambda handler: handler.reply(500 if len(receiver.requests) == 1 else 200)) as receiver:
        job_id = gateway.made(webhook_url=receiver.url("/hook"))
        assert deliveries(gateway, job_id) == {"state": "none", "next_at": None, "attempts": []}
        gateway.succeed()
        assert deliveries(gateway, job_id)["state"] == "pending"
        sender(gateway).send_next()
        told = deliveries(gateway, job_id)
        assert told["state"] == "pending" and told["next_at"] > told["attempts"][0]["at"]
        gateway.redis.make_delivery_due(job_id)
        sender(gateway).send_next()
    told = deliveries(gateway, job_id)
    assert (told["state"], told["next_at"]) == ("delivered", None)
    assert [(each["status"], each["error"] is None) for each in told["attempts"]] == [(500, False), (200, True)]


def test_deliveries_job_without_webhook_are_empty(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.succeed()
    assert sender(gateway).send_next() is None and deliveries(gateway, job_id)["state"] == "none"
    assert gateway.client.get("/v1/jobs/job_x/deliveries").status_code == 404


def test_cancel_queued_job_queues_webhook(gateway: Gateway) -> None:
    job_id = gateway.made(webhook_url=HOOK)
    gateway.client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert deliveries(gateway, job_id)["state"] == "pending" and gateway.job_store.webhook_queue.due_count() == 1
    assert pending_wake_ups(make_celery(gateway.settings), "io") == 1


def test_webhook_address_is_not_in_redis(gateway: Gateway) -> None:
    gateway.made(webhook_url=HOOK)
    gateway.succeed()
    assert b"hooks.example" not in gateway.redis.hash_values("*")


@pytest.mark.parametrize(
    "hook", ["http://10.0.0.1/", "http://169.254.169.254/", "file:///etc/passwd", "http://u:p@a.example/"]
)
def test_submit_forbidden_webhook_address_is_rejected(gateway: Gateway, hook: str) -> None:
    for answer in (gateway.post(webhook_url=hook), gateway.client.post("/v1/webhooks/test", json={"url": hook})):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_url")
    assert gateway.stored() == []


def test_submit_webhook_without_secret_is_rejected(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(webhook_secrets=f"somebody-else:{new_secret()}")
    for answer in (gateway.post(webhook_url=HOOK), gateway.client.post("/v1/webhooks/test", json={"url": HOOK})):
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert gateway.stored() == [] and gateway.job_store.queue_length() == 0


def test_openapi_describes_webhook(gateway: Gateway) -> None:
    told = gateway.client.get("/openapi.json").json()
    ended = told["webhooks"]["job-ended"]["post"]
    body = ended["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(told["components"]["schemas"][body]["properties"]) == {"type", "timestamp", "data"}
    assert {each["name"] for each in ended["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_test_webhook_returns_outcome(gateway: Gateway) -> None:
    def trial(url: str) -> httpx.Response:
        sending = threading.Thread(target=send)
        sending.start()
        answer = gateway.client.post("/v1/webhooks/test", json={"url": url})
        sending.join()
        return answer

    def send() -> None:
        while sender(gateway).send_next() is None:
            pass

    with loopback(lambda handler: handler.reply(200 if handler.path == "/good" else 302, Location="/good")) as receiver:
        good, bad = trial(receiver.url("/good")), trial(receiver.url("/bad"))
    assert good.json()["state"] == "delivered" and good.json()["attempts"][0]["status"] == 200
    assert bad.json()["state"] == "failed" and "redirects" in bad.json()["attempts"][0]["error"]
    assert gateway.stored() == [] and gateway.job_store.page("local").records == ()


def test_test_webhook_without_worker_is_pending(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TEST_TIMEOUT_SECONDS", 0.2)
    answer = gateway.client.post("/v1/webhooks/test", json={"url": HOOK})
    assert answer.json()["state"] == "pending" and answer.json()["attempts"] == []
    assert gateway.stored() == []

"""Webhooks through the real job store and HTTP, to a receiver on loopback; the reference library verifies them."""

import ipaddress
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis
from standardwebhooks import Webhook

from tests.loopback import Answer, Handler, Received, loopback
from tests.redis_inspector import RedisInspector
from tests.redis_server import redis_server
from tests.webhook_secrets import new_secret
from workers.outbound.webhook_sender import WebhookPolicy, WebhookSender
from workers.process.background_pool import BackgroundPool
from workers.protocol.blob_keys import job_prefix, request_key
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.net.ssrf import EgressPolicy
from workers.protocol.records import Claim, Failure, JobRequest, new_job_id
from workers.protocol.settings import SharedSettings, WebhookSecret
from workers.protocol.store.job_store import JobStore, NewJobs
from workers.protocol.store.webhook_queue import DeliveryAttempt, DeliveryLog

SECRET = new_secret()
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
POLICY = WebhookPolicy(timeout_seconds=20, pauses=(1e-6, 1e-6, 1e-6))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_server() as url:
        yield url


class Service:
    """A job store, blobs, and somebody who sends webhooks."""

    def __init__(self, url: str, folder: Path) -> None:
        redis = Redis.from_url(url)
        self.inspector = RedisInspector(redis)
        settings = SharedSettings(data_dir=folder)
        self.job_store, self.blobs = JobStore(redis, settings), BlobStore.from_settings(settings)
        self.secrets = [WebhookSecret.parse(f"{owner}:{SECRET}") for owner in ("ann", "bob")]

    def post(self, webhook: str | None, owner: str = "ann") -> str:
        job_id = new_job_id()
        self.blobs.put(request_key(job_id), JobRequest(webhook_url=webhook).model_dump_json().encode())
        self.job_store.create(NewJobs([job_id], owner, has_webhook=webhook is not None))
        return job_id

    def claim(self) -> Claim:
        claim = self.job_store.claim()
        assert claim is not None
        return claim

    def ended(self, webhook: str | None) -> str:
        job_id = self.post(webhook)
        self.job_store.finish(self.claim(), "succeeded")
        return job_id

    def sender(
        self,
        policy: WebhookPolicy = POLICY,
        allowed: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = LOOPBACK,
    ) -> WebhookSender:
        egress = EgressPolicy(allowed, lambda host, port: ["127.0.0.1"])
        return WebhookSender(self.job_store, self.blobs, egress, self.secrets, policy)

    def deliver(self, policy: WebhookPolicy = POLICY) -> None:
        """Everything that is due, and what becomes due by that."""
        while self.sender(policy).send_next():
            pass

    def log(self, job_id: str) -> DeliveryLog:
        return self.job_store.webhook_queue.delivery_log(job_id)

    def statuses(self, job_id: str) -> list[int | None]:
        return [attempt.status for attempt in self.log(job_id).attempts]


@pytest.fixture
def service(url: str, tmp_path: Path) -> Service:
    Redis.from_url(url).flushall()
    return Service(url, tmp_path)


def verified(received: Received, secret: str = SECRET) -> dict:
    assert received.method == "POST" and received.headers["content-type"] == "application/json"
    return dict(Webhook(secret).verify(received.body, received.headers))


def answering(*statuses: int, **headers: str) -> Answer:
    """One status after another; the last for ever."""
    left = list(statuses)
    return lambda handler: handler.reply(left.pop(0) if len(left) > 1 else left[0], **headers)


def test_webhook_job_end_is_sent_once_signed_and_without_private_data(service: Service) -> None:
    with loopback(answering(200)) as receiver:
        job_id = service.ended(receiver.url("/hook?token=1"))
        quiet = service.ended(None)
        service.deliver()
        service.deliver()
    (received,) = receiver.requests
    assert received.path == "/hook?token=1" and received.headers["webhook-id"] == f"msg_{job_id.removeprefix('job_')}"
    told = verified(received)
    assert told["type"] == "job.succeeded"
    assert told["data"] == {
        "id": job_id,
        "status": "succeeded",
        "error": None,
        "links": {"self": f"/v1/jobs/{job_id}", "result": f"/v1/jobs/{job_id}/result"},
    }
    log = service.log(job_id)
    assert (log.state, log.next_at, service.statuses(job_id)) == ("delivered", None, [200])
    assert service.log(quiet).state == "none"


def test_webhook_of_a_batch_is_sent_once_when_its_last_job_has_ended(service: Service) -> None:
    batch = (new_job_id(), new_job_id())
    with loopback(answering(204)) as receiver:
        request = JobRequest(webhook_url=receiver.url("/hook"), batch=batch).model_dump_json().encode()
        for job_id in batch:
            service.blobs.put(request_key(job_id), request)
        service.job_store.create(NewJobs(batch, "ann", has_webhook=True))
        service.job_store.finish(service.claim(), "failed", Failure(code="media_invalid", message="Damaged."))
        service.deliver()
        assert receiver.requests == [] and service.log(batch[0]).state == "delivered"
        service.job_store.finish(service.claim(), "succeeded")
        service.deliver()
    (received,) = receiver.requests
    assert verified(received) == {"job_id": batch[0], "status": "COMPLETED"}
    assert received.headers["webhook-id"] == f"msg_{batch[0].removeprefix('job_')}"


def test_webhook_is_sent_for_every_final_state_and_no_other(service: Service) -> None:
    with loopback(answering(204)) as receiver:
        hook = receiver.url("/hook")
        service.ended(hook)
        service.post(hook)
        service.job_store.finish(service.claim(), "failed", Failure(code="media_invalid", message="Private words."))
        waiting = service.post(hook)
        service.job_store.cancel(waiting)
        running = service.post(hook)
        claim = service.claim()
        service.job_store.cancel(running)
        service.deliver()
        assert len(receiver.requests) == 3  # not yet the last
        service.job_store.finish(claim, "cancelled")
        lost = service.post(hook)
        for _ in range(3):
            service.claim()
            service.inspector.expire_leases(lost)
            service.job_store.reap_expired_leases()
        service.deliver()
    told = [verified(received) for received in receiver.requests]
    assert [each["type"] for each in told] == [
        f"job.{end}" for end in ("succeeded", "failed", "cancelled", "cancelled", "failed")
    ]
    assert told[1]["data"]["error"] == {"code": "media_invalid", "retryable": False}
    assert told[4]["data"] | {"links": None} == {
        "id": lost, "status": "failed", "error": {"code": "worker_lost", "retryable": True}, "links": None,
    }  # fmt: skip
    assert b"Private" not in b"".join(received.body for received in receiver.requests)


def test_webhook_failing_receiver_is_retried_with_the_same_id(service: Service) -> None:
    with loopback(answering(500, 429, 200)) as receiver:
        job_id = service.ended(receiver.url())
        service.deliver()
    assert service.statuses(job_id) == [500, 429, 200] and service.log(job_id).state == "delivered"
    assert len({received.headers["webhook-id"] for received in receiver.requests}) == 1
    assert len({received.body for received in receiver.requests}) == 1
    assert all(verified(received) for received in receiver.requests)


def test_webhook_is_given_up_after_the_last_pause(service: Service) -> None:
    with loopback(answering(500)) as receiver:
        job_id = service.ended(receiver.url())
        service.deliver()
    assert service.statuses(job_id) == [500] * 4 and service.log(job_id).state == "failed"


def test_webhook_pauses_grow_and_are_kept_in_redis(service: Service) -> None:
    policy = WebhookPolicy(timeout_seconds=20, pauses=(100, 1000))
    with loopback(answering(500, 503, 500, Retry_After="5000")) as receiver:
        job_id = service.ended(receiver.url())
        for least in (5000, 5000):
            service.deliver(policy)
            log = service.log(job_id)
            assert log.state == "pending" and log.next_at is not None
            assert least <= (log.next_at - log.attempts[-1].at).total_seconds() < least * 1.2
            service.inspector.make_delivery_due(job_id)
        service.deliver(policy)
    assert service.log(job_id).state == "failed" and len(receiver.requests) == 3
    with loopback(answering(500)) as receiver:
        job_id = service.ended(receiver.url())
        for pause in (100, 1000):
            service.deliver(policy)
            due_at = service.inspector.delivery_due_at(job_id)
            assert due_at is not None and pause - 60 < due_at - time.time() < pause * 1.1 + 60
            service.inspector.make_delivery_due(job_id)


def test_webhook_redirect_is_not_followed(service: Service) -> None:
    with loopback(answering(200)) as other, loopback(answering(307, 200, Location=other.url())) as receiver:
        job_id = service.ended(receiver.url())
        service.deliver()
        assert service.statuses(job_id) == [307, 200] and other.connections == 0
        error = service.log(job_id).attempts[0].error
        assert error is not None and "redirects" in error


def test_webhook_receiver_gone_is_not_retried(service: Service) -> None:
    with loopback(answering(410, 200)) as receiver:
        job_id = service.ended(receiver.url())
        service.deliver()
        assert service.statuses(job_id) == [410] and service.log(job_id).state == "failed"
        assert len(receiver.requests) == 1


@pytest.mark.slow
def test_webhook_slow_receiver_times_out(service: Service) -> None:
    def slow(handler: Handler) -> None:
        if len(receiver.requests) == 1:
            handler.ended.wait(60)
        handler.reply(200)

    def drop_by_drop(handler: Handler) -> None:
        while not handler.ended.wait(0.05):
            handler.wfile.write(b"H")

    policy = WebhookPolicy(timeout_seconds=1, pauses=(1e-6,) * 20)
    with loopback(slow) as receiver:
        job_id = service.ended(receiver.url())
        service.deliver(policy)
        statuses = service.statuses(job_id)
        assert (statuses[0], statuses[-1], service.log(job_id).state) == (None, 200, "delivered")
    with loopback(drop_by_drop) as receiver:
        job_id = service.ended(receiver.url())
        service.sender(policy).send_next()
        (attempt,) = service.log(job_id).attempts
        assert attempt.status is None and attempt.error is not None and attempt.seconds < 30


def test_webhook_private_address_is_connected_to_only_if_allowed(service: Service) -> None:
    with loopback(answering(200)) as receiver:
        for hook in (receiver.url(), receiver.url(host="hooks.example")):
            job_id = service.ended(hook)
            assert service.sender(allowed=()).send_next() == job_id
            assert service.log(job_id).state == "failed" and receiver.connections == 0
        job_id = service.ended(receiver.url(host="hooks.example"))
        service.deliver()
        assert service.log(job_id).state == "delivered"


def test_webhook_deleted_job_sends_nothing_and_leaves_nothing(service: Service) -> None:
    def delete(handler: Handler) -> None:
        """While its webhook is under way."""
        service.job_store.delete(job_id)
        service.blobs.delete(job_prefix(job_id))
        handler.reply(500)

    with loopback(delete) as receiver:
        never = service.ended(receiver.url())
        service.job_store.delete(never)
        service.deliver()
        assert receiver.connections == 0
        job_id = service.ended(receiver.url())
        service.deliver()
        assert len(receiver.requests) == 1
    assert service.log(job_id).state == "none"
    service.inspector.expire_events(never, job_id)
    for gone in (never, job_id):
        assert service.inspector.mentions(gone) == []
    assert service.inspector.delivery_count() == 0


def test_webhook_delivery_of_a_dead_worker_is_made_by_another(service: Service) -> None:
    with loopback(answering(200)) as receiver:
        job_id = service.ended(receiver.url())
        taken = service.job_store.webhook_queue.lease_next(60)
        assert (
            taken is not None
            and service.job_store.webhook_queue.lease_next(60) is None
            and service.job_store.webhook_queue.due_count() == 0
        )
        service.inspector.make_delivery_due(job_id)
        assert service.job_store.webhook_queue.due_count() == 1
        service.deliver()
        (attempt,) = service.log(job_id).attempts
        service.job_store.webhook_queue.record_attempt(
            taken, attempt.model_copy(update={"status": 500, "error": "late"}), 1.0
        )
    assert service.log(job_id).state == "delivered" and service.statuses(job_id) == [200]


def test_webhook_is_signed_with_the_secrets_of_its_caller(service: Service) -> None:
    old, new = new_secret(), new_secret()
    service.secrets = [WebhookSecret.parse(f"ann:{old}"), WebhookSecret.parse(f"ann:{new}"), *service.secrets[1:]]
    with loopback(answering(200)) as receiver:
        service.ended(receiver.url())
        service.post(receiver.url(), owner="bob")
        service.job_store.finish(service.claim(), "succeeded")
        nobody = service.post(receiver.url(), owner="cy")
        service.job_store.finish(service.claim(), "succeeded")
        service.deliver()
    ann, bob = receiver.requests
    assert verified(ann, old) == verified(ann, new) and verified(bob, SECRET)
    assert service.log(nobody).state == "failed"


def test_webhook_test_delivery_is_one_attempt_and_expires(service: Service) -> None:
    with loopback(answering(500)) as receiver:
        test_id = new_job_id()
        service.blobs.put(request_key(test_id), JobRequest(webhook_url=receiver.url()).model_dump_json().encode())
        service.job_store.webhook_queue.add_test(test_id, "ann")
        service.deliver()
    assert verified(receiver.requests[0])["type"] == "webhook.test"
    assert service.log(test_id).state == "failed" and service.statuses(test_id) == [500]
    assert service.job_store.get(test_id) is None
    kept = service.inspector.mentions(test_id)
    assert len(kept) == 2 and all(0 < service.inspector.ttl(key) <= 600 for key in kept)
    assert json.loads(receiver.requests[0].body)["data"] == {}


def test_lease_next_owners_take_turns_and_none_has_all_threads(service: Service) -> None:
    queue = service.job_store.webhook_queue
    for number in range(12):
        queue.add_test(f"ann-{number}", "ann")
    leased = [queue.lease_next(60, 4) for _ in range(5)]
    assert [delivery and delivery.owner for delivery in leased] == ["ann"] * 4 + [None]
    queue.add_test("bob-0", "bob")
    queue.add_test("bob-1", "bob")
    assert queue.due_count() == 10
    assert [delivery.id for delivery in (queue.lease_next(60, 4), queue.lease_next(60, 4)) if delivery] == [
        "bob-0",
        "bob-1",
    ]
    first = leased[0]
    assert first is not None
    queue.record_attempt(first, DeliveryAttempt(at=datetime.now(UTC), seconds=1, status=200, error=None))
    following = queue.lease_next(60, 4)
    assert following is not None and following.id == "ann-4" and queue.lease_next(60, 4) is None


def test_lease_next_delivery_of_an_earlier_version_is_made(service: Service) -> None:
    """One that is due, in the set of all owners only; and one that waits for its owner is deleted with its job."""
    with loopback(answering(200)) as receiver:
        old, deleted = service.ended(receiver.url()), service.ended(receiver.url())
        assert service.job_store.webhook_queue.lease_next(1e-6, 0) is None  # moves both to their owner
        assert service.log(old).next_at is not None and service.job_store.webhook_queue.due_count() == 2
        service.job_store.delete(deleted)
        assert service.job_store.webhook_queue.due_count() == 1
        service.deliver()
        assert service.log(old).state == "delivered" and len(receiver.requests) == 1
    service.inspector.expire_events(deleted)
    assert service.inspector.mentions("outbox:") == service.inspector.mentions(deleted) == []


def test_webhooks_to_a_tarpit_do_not_hold_up_another_owner(service: Service) -> None:
    """Ann's trials fill her share of the threads of the pool, and bob's webhook is sent at once."""

    def tarpit(handler: Handler) -> None:
        handler.ended.wait(30)

    policy = WebhookPolicy(timeout_seconds=20, pauses=(), max_per_owner=3)
    sender = service.sender(policy)
    pool = BackgroundPool("webhooks", sender.send_next, 4)
    with loopback(answering(200)) as receiver:
        with loopback(tarpit) as slow:
            for _ in range(30):
                test_id = new_job_id()
                service.blobs.put(request_key(test_id), JobRequest(webhook_url=slow.url()).model_dump_json().encode())
                service.job_store.webhook_queue.add_test(test_id, "ann")
                pool.wake()
            until(lambda: slow.connections == 3)
            job_id = service.post(receiver.url(), owner="bob")
            service.job_store.finish(service.claim(), "succeeded")
            began = time.monotonic()
            pool.wake()
            until(lambda: service.log(job_id).state == "delivered")
            assert time.monotonic() - began < 5 and slow.connections == 3
            pool.stop(0)
        pool.stop(20)


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)

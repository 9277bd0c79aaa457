"""Idempotency keys over HTTP: one job a key, whatever is repeated, mixed up, or dies."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import ConnectionError, Redis

from app.http.uploads import ReceivedFile, UploadForm
from app.services.idempotency import request_fingerprint
from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from tests.app.multipart import CONTENT_TYPE, encode
from workers.protocol.store import idempotency
from workers.protocol.store.idempotency import IdempotencyStore, Reservation
from workers.protocol.store.job_store import JobStore
from workers.protocol.store.keys import KEY_PREFIX

KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def post(gateway: Gateway, content: bytes = PNG, key: str = KEY, **fields: str | list[str]) -> httpx.Response:
    return gateway.client.post(
        "/v1/jobs", files={"file": ("a.png", content)}, data=fields, headers={"Idempotency-Key": key}
    )


def test_submit_same_request_again_returns_same_job(gateway: Gateway) -> None:
    first = post(gateway, options='{"words": false, "frame_rate": 2}', tag=["x", "y"])
    again = post(gateway, options='{"frame_rate": 2.0,  "words": false}', tag=["x", " y "])
    assert first.status_code == again.status_code == 202
    assert (again.json(), again.headers["location"]) == (first.json(), first.headers["location"])
    assert gateway.job_store.queue_length() == 1
    assert len(gateway.stored()) == 2  # media and request, once
    gateway.succeed()
    late = post(gateway, options='{"words": false, "frame_rate": 2}', tag=["x", "y"], key=f'"{KEY}"')
    assert (late.json()["id"], late.json()["status"]) == (first.json()["id"], "succeeded")


@pytest.mark.parametrize("change", [{"content": PNG + b"1"}, {"options": '{"words": false}'}, {"tag": "x"}])
def test_submit_other_request_with_same_key_is_rejected(gateway: Gateway, change: dict) -> None:
    post(gateway)
    problem(post(gateway, **change), 422, "idempotency_mismatch")
    assert gateway.job_store.queue_length() == 1


def test_submit_batch_again_returns_same_jobs(gateway: Gateway) -> None:
    files = [("file", (f"{number}.png", PNG + bytes([number]))) for number in range(3)]
    headers = {"Idempotency-Key": KEY}
    first = gateway.client.post("/v1/jobs", files=files, headers=headers).json()
    assert gateway.client.post("/v1/jobs", files=files, headers=headers).json() == first
    problem(gateway.client.post("/v1/jobs", files=files[::-1], headers=headers), 422, "idempotency_mismatch")
    assert gateway.job_store.queue_length() == 3


def test_idempotency_key_of_another_caller_is_independent(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    gateway = open_gateway()
    ids = []
    for secret in ("old", "new", "bobs"):
        headers = {"Idempotency-Key": KEY, **bearer(secret)}
        ids.append(gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=headers).json()["id"])
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '"', "ü"])
def test_submit_invalid_key_is_rejected(gateway: Gateway, key: str) -> None:
    answer = gateway.client.post(
        "/v1/jobs", files={"file": ("a.png", PNG)}, headers={"Idempotency-Key": key.encode("latin-1")}
    )
    problem(answer, 400, "validation_failed")


def test_submit_while_first_is_in_progress_is_conflict(gateway: Gateway) -> None:
    half, told = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        whole = encode([("file", PNG + bytes(2 * 2**20), "a.png")])
        yield whole[: 2**20]
        half.set()
        assert told.wait(20)
        yield whole[2**20 :]

    headers = {"content-type": CONTENT_TYPE, "Idempotency-Key": KEY}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(gateway.client.post, "/v1/jobs", content=body(), headers=headers)
        assert half.wait(20)
        assert eventually(lambda: bool(gateway.redis.idempotency_keys()))
        second = post(gateway)
        told.set()
    problem(second, 409, "idempotency_in_progress")
    assert int(second.headers["retry-after"]) > 0
    assert first.result().status_code == 202


def test_submit_concurrent_same_requests_create_one_job(open_gateway: OpenGateway) -> None:
    gateways = [open_gateway(), open_gateway()]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: post(gateways[number % 2]), range(24)))
    made = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(made) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert gateways[0].job_store.queue_length() == 1


def test_submit_after_rejected_request_reuses_key(gateway: Gateway) -> None:
    problem(post(gateway, b"no media"), 415, "unsupported_media")
    assert post(gateway).status_code == 202


def test_reservation_of_dead_gateway_expires(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is killed says nothing more: whether it had written the job decides."""
    monkeypatch.setattr(idempotency, "_RESERVATION_TTL_MILLISECONDS", 200)
    store = gateway.job_store.idempotency
    assert isinstance(store.reserve("local", KEY), Reservation)
    problem(post(gateway), 409, "idempotency_in_progress")
    assert eventually(lambda: post(gateway).status_code == 202)
    assert gateway.job_store.queue_length() == 1


def test_submit_without_reply_from_redis_can_be_repeated(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    create = gateway.job_store.create.__func__  # type: ignore[attr-defined]

    def written_but_unheard(*args: object, **kwargs: object) -> None:
        create(*args, **kwargs)
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(JobStore, "create", written_but_unheard)
        problem(post(gateway), 503, "queue_unavailable")
    assert (gateway.job_store.queue_length(), gateway.stored()) == (0, [])
    assert post(gateway).status_code == 202


def test_key_of_deleted_job_keeps_only_that_it_was_used(gateway: Gateway) -> None:
    job_id = post(gateway).json()["id"]
    (key,) = gateway.redis.idempotency_keys()
    assert 86_000 < gateway.redis.ttl(key) <= 86_400
    gateway.client.delete(f"/v1/jobs/{job_id}")
    assert job_id.encode() not in gateway.redis.hash_values(key)
    problem(post(gateway), 404, "job_not_found")
    assert gateway.job_store.queue_length() == 0


def test_delete_after_replay_deletes_the_one_job(gateway: Gateway) -> None:
    first, again = (post(gateway).json()["links"] for _ in range(2))
    assert gateway.client.delete(first["self"]).status_code == 204
    for path in (again["self"], f"{again['self']}/deliveries", again["events"]):
        problem(gateway.client.get(path), 404, "job_not_found")
    problem(post(gateway), 404, "job_not_found")


def test_submit_again_after_expiry_reports_expired_job(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(result_ttl=0.001, lease_seconds=0.1)
    job_id = post(gateway).json()["id"]
    gateway.succeed()
    assert eventually(lambda: gateway.client.get(f"/v1/jobs/{job_id}").status_code == 410)
    problem(post(gateway), 410, "job_expired")


def test_fingerprint_ignores_order_and_names() -> None:
    file = ReceivedFile("a.png", 1, "0" * 64)

    def of(*files: ReceivedFile, **fields: list[str]) -> str:
        return request_fingerprint(UploadForm(fields=fields, files=list(files)))

    assert of(file, options=["{}"], tag=["a"]) == of(ReceivedFile("b.png", 1, "0" * 64), tag=["a "], options=[" { } "])
    assert len({of(file), of(file, file), of(file, tag=["a"]), of(file, tag=["a", "b"]), of(file, tag=["b", "a"])}) == 5


def test_reservation_is_renewed_until_request_ends(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        store = IdempotencyStore(redis, KEY_PREFIX)
        reservation = store.reserve("ann", "k")
        assert isinstance(reservation, Reservation)
        (name,) = redis.keys()
        redis.pexpire(name, 50)
        store.renew(reservation)
        assert redis.pttl(name) > 1000
        store.release(Reservation(reservation.key_digest, "somebody else"))
        assert redis.exists(name)
        store.release(reservation)
        assert not redis.exists(name)

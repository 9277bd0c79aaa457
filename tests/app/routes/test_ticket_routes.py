"""Tickets: which request of which caller they permit, and how often."""

import time
from datetime import datetime

import pytest

from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import PNG, Gateway, OpenGateway
from tests.app.live_streams import live_worker, refused, stream, told
from workers.protocol.blob_keys import artifact_key
from workers.protocol.records import Claim

PATHS = {
    "events": "/v1/jobs/{}/events",
    "media": "/v1/jobs/{}/media",
    "artifacts": "/v1/jobs/{}/artifacts/a.png",
}


@pytest.fixture
def keyed(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    return open_gateway()


def ticket(gateway: Gateway, name: str = "old", **scope: str) -> str:
    answer = gateway.client.post("/v1/tickets", headers=bearer(name), **({"json": scope} if scope else {}))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


def kept_job(gateway: Gateway) -> str:
    """The id of a job with media and an artifact."""
    answer = gateway.client.post(
        "/v1/jobs", files={"file": ("a.png", PNG)}, data={"options": '{"keep_media": true}'}, headers=bearer("old")
    )
    job_id = str(answer.json()["id"])
    claim = gateway.job_store.claim()
    assert isinstance(claim, Claim)
    gateway.blobs.put(artifact_key(job_id, claim.token, "a.png"), PNG)
    gateway.job_store.finish(claim, "succeeded")
    return job_id


def status(gateway: Gateway, path: str, used: str) -> int:
    return gateway.client.get(path, params={"ticket": used}).status_code


@pytest.mark.parametrize("purpose", PATHS)
def test_ticket_for_job_and_purpose_opens_only_these(keyed: Gateway, purpose: str) -> None:
    job_id, other_id = kept_job(keyed), kept_job(keyed)
    used = ticket(keyed, job=job_id, purpose=purpose)
    for _ in range(2):  # a player requests ranges, an event source reconnects
        assert status(keyed, PATHS[purpose].format(job_id), used) == 200
    problem(keyed.client.get(PATHS[purpose].format(other_id), params={"ticket": used}), 401, "unauthorized")
    for other in PATHS.keys() - {purpose}:
        problem(keyed.client.get(PATHS[other].format(job_id), params={"ticket": used}), 401, "unauthorized")
    with stream(keyed, f"?ticket={used}") as socket:
        assert refused(socket) == ("unauthorized", 1008)


def test_ticket_without_scope_is_bound_by_first_use(keyed: Gateway) -> None:
    job_id, other_id = kept_job(keyed), kept_job(keyed)
    used = ticket(keyed)
    for _ in range(2):
        assert status(keyed, PATHS["media"].format(job_id), used) == 200
    assert status(keyed, PATHS["media"].format(other_id), used) == 401
    assert status(keyed, PATHS["events"].format(job_id), used) == 401
    (key,) = keyed.redis.keys("ticket:*")
    assert 50 < keyed.redis.ttl(key) <= 60


@pytest.mark.parametrize("scope", [{}, {"purpose": "events"}, {"job": "JOB"}])
def test_ticket_without_full_scope_opens_events_once(keyed: Gateway, scope: dict[str, str]) -> None:
    job_id = kept_job(keyed)
    used = ticket(keyed, **{name: job_id if value == "JOB" else value for name, value in scope.items()})
    assert [status(keyed, PATHS["events"].format(job_id), used) for _ in range(2)] == [200, 401]
    assert keyed.redis.keys("ticket:*") == []


@pytest.mark.parametrize("scope", [{}, {"purpose": "stream"}])
def test_ticket_opens_stream_once(keyed: Gateway, scope: dict[str, str]) -> None:
    live_worker(keyed)
    used = ticket(keyed, **scope)
    with stream(keyed, f"?ticket={used}") as socket:
        socket.send("[]")
        assert told(socket)["problem"]["code"] == "invalid_options"
    with stream(keyed, f"?ticket={used}") as socket:
        assert refused(socket) == ("unauthorized", 1008)


def test_ticket_belongs_to_owner_and_opens_no_other_call(keyed: Gateway) -> None:
    job_id = kept_job(keyed)
    for purpose, path in PATHS.items():
        others = ticket(keyed, "bobs", job=job_id, purpose=purpose)
        problem(keyed.client.get(path.format(job_id), params={"ticket": others}), 404, "job_not_found")
    used = ticket(keyed, job=job_id, purpose="media")
    problem(keyed.client.get(f"/v1/jobs/{job_id}", params={"ticket": used}), 401, "unauthorized")
    problem(keyed.client.post("/v1/tickets", params={"ticket": used}), 401, "unauthorized")


@pytest.mark.parametrize(
    "body", ['{"purpose": "result"}', '{"job": 1}', '{"user": "ann"}', "[]", "{", '{"job": "' + "x" * 65 + '"}']
)
def test_ticket_invalid_scope_is_rejected(keyed: Gateway, body: str) -> None:
    headers = {**bearer("old"), "Content-Type": "application/json"}
    problem(keyed.client.post("/v1/tickets", content=body, headers=headers), 400, "validation_failed")


def test_ticket_expires_and_is_not_in_redis(gateway: Gateway) -> None:
    issued = gateway.client.post("/v1/tickets").json()
    (key,) = gateway.redis.keys("ticket:*")
    assert issued["ticket"] not in key
    assert 50 < gateway.redis.ttl(key) <= 60
    assert time.time() < datetime.fromisoformat(issued["expires_at"]).timestamp() <= time.time() + 60
    gateway.redis.expire(key)
    answer = gateway.client.get("/v1/jobs/job_x/events", params={"ticket": issued["ticket"]})
    problem(answer, 401, "unauthorized")

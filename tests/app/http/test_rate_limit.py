"""Limits of one caller: requests per minute, waiting jobs, stored bytes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from httpx import Response

from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually


@pytest.fixture
def keyed(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> OpenGateway:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    return open_gateway


def test_rate_limit_counts_all_gateways_and_keys_of_a_caller(keyed: OpenGateway) -> None:
    gateways = [keyed(requests_per_minute=30), keyed(requests_per_minute=30)]

    def ask(number: int) -> int:
        secret = ("old", "new")[number // 2 % 2]
        return gateways[number % 2].client.get("/v1/jobs", headers=bearer(secret)).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
    assert set(answers) == {200, 429}
    assert 30 <= answers.count(200) <= 45  # one comes back every two seconds
    refused = gateways[0].client.get("/v1/jobs/job_x", headers=bearer("old"))
    problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert gateways[0].client.get("/v1/jobs", headers=bearer("bobs")).status_code == 200
    assert gateways[0].client.get("/livez").status_code == 200
    assert gateways[0].client.get("/v1/jobs").status_code == 401


def test_rate_limit_headers_show_remaining_requests(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(requests_per_minute=3)
    seen = [gateway.client.get("/v1/models") for _ in range(3)]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in seen] == [
        f'"requests";r={left}' for left in (2, 1, 0)
    ]
    assert {answer.headers["ratelimit-policy"] for answer in seen} == {'"requests";q=3;w=60'}
    waiting = gateway.client.get("/v1/models")
    problem(waiting, 429, "rate_limited")
    assert 15 <= int(waiting.headers["retry-after"]) <= 20
    gateway.redis.age_rate_limit("local", 20)
    assert gateway.client.get("/v1/models").status_code == 200
    assert gateway.client.get("/v1/models").status_code == 429


def test_rate_limit_exceeded_upload_is_not_read(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(requests_per_minute=1)
    gateway.made()
    problem(gateway.post(), 429, "rate_limited")
    assert gateway.job_store.queue_length() == 1


def test_rate_limit_disabled_counts_nothing(gateway: Gateway) -> None:
    assert "ratelimit" not in gateway.client.get("/v1/models").headers
    assert gateway.redis.keys("rate:*") == []


def test_queue_limit_of_one_caller_does_not_affect_others(keyed: OpenGateway) -> None:
    gateway = keyed(max_queued_per_key=2)

    def post(secret: str, count: int = 1) -> int:
        files = [("file", (f"{number}.png", PNG)) for number in range(count)]
        return gateway.client.post("/v1/jobs", files=files, headers=bearer(secret)).status_code

    assert [post("old"), post("new", 2), post("new"), post("old"), post("bobs")] == [202, 429, 202, 429, 202]
    refused = gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer("old"))
    assert "your jobs" in problem(refused, 429, "too_many_jobs")["detail"]
    gateway.succeed()
    assert post("old") == 202


def test_storage_limit_is_freed_by_ended_jobs(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_bytes_per_key=5000)
    job_id = gateway.made(content=PNG + bytes(3000), options='{"keep_media": true}')
    problem(gateway.post(PNG + bytes(3000)), 429, "too_many_jobs")
    assert len(gateway.stored()) == 2
    gateway.succeed()
    problem(gateway.post(PNG + bytes(3000)), 429, "too_many_jobs")  # they are kept
    gateway.client.delete(f"/v1/jobs/{job_id}")
    gateway.made(content=PNG + bytes(3000))


def test_compute_limit_of_one_caller_lasts_until_the_next_hour(keyed: OpenGateway) -> None:
    gateway = keyed(compute_per_key=60)

    def post(secret: str) -> Response:
        return gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer(secret))

    job_id = post("old").json()["id"]
    claim = gateway.job_store.claim()
    assert claim is not None
    gateway.redis.age_work(job_id, 100)
    gateway.job_store.finish(claim, "succeeded")
    refused = post("new")
    assert "compute" in problem(refused, 429, "too_many_jobs")["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 3600
    assert post("bobs").status_code == 202
    assert gateway.client.get(f"/v1/jobs/{job_id}", headers=bearer("old")).status_code == 200
    gateway.redis.start_hour("ann")
    assert post("old").status_code == 202


def test_retry_after_estimates_waiting_time(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_queued=3)
    ids = [gateway.made() for _ in range(3)]
    claim = gateway.job_store.claim()
    assert claim is not None
    gateway.redis.age_start(ids[0], 7.5)
    gateway.job_store.finish(claim, "succeeded")
    ids.append(gateway.made())

    def told(path: str) -> int:
        return int(gateway.client.get(path).headers["retry-after"])

    assert 8 <= told(f"/v1/jobs/{ids[1]}") <= 11
    assert 23 <= told(f"/v1/jobs/{ids[3]}/result") <= 33
    full = gateway.post()
    problem(full, 429, "too_many_jobs")
    assert 8 <= int(full.headers["retry-after"]) <= 11
    gateway.job_store.claim()
    assert told(f"/v1/jobs/{ids[1]}") == 1


def test_concurrent_requests_above_limit_are_rejected(keyed: OpenGateway) -> None:
    gateway = keyed(concurrent_per_key=4)
    job_id = gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer("old")).json()["id"]
    other_id = gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer("bobs")).json()["id"]
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        for _ in range(4):
            events = gateway.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=bearer("old"))
            assert stack.enter_context(events).status_code == 200
        waiting = pool.submit(gateway.client.get, f"/v1/jobs/{other_id}", params={"wait": 10}, headers=bearer("bobs"))
        for path in (f"/v1/jobs/{job_id}/events", f"/v1/jobs/{job_id}?wait=5", "/v1/jobs"):
            refused = gateway.client.get(path, headers=bearer("new"))
            problem(refused, 429, "rate_limited")
            assert refused.headers["retry-after"] == "5"
        assert gateway.client.post(f"/v1/jobs/{other_id}/cancel", headers=bearer("bobs")).status_code == 200
        assert waiting.result().json()["status"] == "cancelled"
    assert eventually(lambda: gateway.client.get("/v1/jobs", headers=bearer("old")).status_code == 200)

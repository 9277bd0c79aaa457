"""Links at the gateway: what is plainly forbidden is refused at once, the rest waits for a worker that fetches."""

import httpx
import pytest

from tests.app.conftest import PNG, Gateway, OpenGateway
from tests.app.multipart import CONTENT_TYPE, encode
from workers.protocol.blob_keys import fetched_media_info_key, request_key
from workers.protocol.broker import make_celery, pending_wake_ups
from workers.protocol.records import WORKER_KINDS, JobMedia, JobRequest

LINK = "https://media.example/clips/talk.mp4?signature=secret"


def post(gateway: Gateway, *links: str, **fields: str) -> httpx.Response:
    parts = [("url", link.encode()) for link in links] + [(name, value.encode()) for name, value in fields.items()]
    return gateway.client.post("/v1/jobs", content=encode(parts), headers={"Content-Type": CONTENT_TYPE})


def test_submit_link_queues_job_for_io_worker(gateway: Gateway) -> None:
    answer = post(gateway, LINK, options='{"frame_rate": 2}', tag="a")
    job = answer.json()
    assert answer.status_code == 202 and answer.headers["location"] == job["links"]["self"]
    assert (job["status"], job["position"], job["media"], job["tags"]) == ("queued", 0, None, ["a"])
    assert job["options"]["frame_rate"] == 2
    celery = make_celery(gateway.settings)
    assert [pending_wake_ups(celery, kind) for kind in WORKER_KINDS] == [0, 1, 0]
    stored = gateway.blobs.get(request_key(job["id"]))
    assert stored is not None and JobRequest.model_validate_json(stored).url == LINK
    assert gateway.job_store.claim() is None and gateway.job_store.claim("io") is not None


def test_submit_link_address_is_not_in_redis_or_response(gateway: Gateway) -> None:
    answer = post(gateway, LINK)
    assert b"secret" not in gateway.redis.hash_values("job:*") and "secret" not in answer.text


def test_fetched_file_appears_in_job(gateway: Gateway) -> None:
    job = post(gateway, LINK).json()
    claim = gateway.job_store.claim("io")
    assert claim is not None
    media = JobMedia(name="talk.mp4", size=3, sha256="0")
    gateway.blobs.put(fetched_media_info_key(claim.job_id, claim.token), media.model_dump_json().encode())
    assert gateway.client.get(job["links"]["self"]).json()["media"] is None
    gateway.job_store.hand_off(claim)
    assert gateway.client.get(job["links"]["self"]).json()["media"] == media.model_dump()


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1/a.mp4", "http://[::1]/", "http://2130706433/", "http://0x7f.1/", "http://localhost:8000/",
     "http://169.254.169.254/latest/", "file:///etc/passwd", "gopher://8.8.8.8/", "https://a:b@media.example/",
     "talk.mp4", "https://media.example/" + "a" * 3000],
)  # fmt: skip
def test_submit_forbidden_link_is_rejected(gateway: Gateway, link: str) -> None:
    answer = post(gateway, link)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_url")
    assert gateway.job_store.queue_length() == 0 and gateway.stored() == []


def test_submit_link_to_allowed_network_is_accepted(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(egress_allow="10.0.0.0/8")
    assert post(gateway, "http://10.1.2.3/talk.mp4").status_code == 202
    assert post(gateway, "http://127.0.0.1/talk.mp4").status_code == 403


def test_submit_link_with_file_is_rejected(gateway: Gateway) -> None:
    both = gateway.post(PNG, url=LINK)
    for answer in (both, post(gateway, LINK, LINK), post(gateway)):
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert gateway.job_store.queue_length() == 0 and gateway.stored() == []

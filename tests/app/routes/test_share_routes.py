"""Share links: what they open, and what they do not."""

from hashlib import sha256

import httpx
import pytest

from tests.app.conftest import Gateway, OpenGateway
from tests.ml.reports.made_results import result, window
from workers.protocol.blob_keys import artifact_key, shares_key

KEY = "a-key-of-ann"


@pytest.fixture
def shared(open_gateway: OpenGateway) -> Gateway:
    """A gateway with keys, whose client is Ann."""
    return open_gateway({"Authorization": f"Bearer {KEY}"}, api_keys=f"ann:{sha256(KEY.encode()).hexdigest()}")


def finished(gateway: Gateway, **fields: str) -> str:
    job_id = gateway.made(**fields)
    gateway.succeed(result([window(0, 4, "happy")]).model_dump_json().encode())
    return job_id


def share(gateway: Gateway, job_id: str, **wanted: object) -> dict[str, str]:
    answer = gateway.client.post(f"/v1/jobs/{job_id}/shares", json=wanted)
    assert answer.status_code == 201, answer.text
    created: dict[str, str] = answer.json()
    return created


def stranger(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=gateway.client.base_url, timeout=20)


def test_share_opens_job_result_and_artifacts_without_a_key(shared: Gateway) -> None:
    job_id = finished(shared, tag="secret study")
    shared.blobs.put(artifact_key(job_id, 1, "summary.png"), b"picture")
    link = share(shared, job_id)
    token = {"share": link["token"]}
    with stranger(shared) as client:
        job = client.get(f"/v1/jobs/{job_id}", params=token).json()
        assert (job["id"], job["tags"], job["links"]["media"]) == (job_id, [], None)
        assert client.get(f"/v1/jobs/{job_id}/result", params=token).json()["overall"]["emotion"] == "happy"
        assert client.get(f"/v1/jobs/{job_id}/result", params=token | {"format": "csv"}).status_code == 200
        assert len(client.get(f"/v1/jobs/{job_id}/artifacts", params=token).json()["artifacts"]) == 1
        assert client.get(f"/v1/jobs/{job_id}/artifacts/summary.png", params=token).content == b"picture"
    assert link["link"].endswith(f"/job/{job_id}?share={link['token']}")


def test_share_opens_nothing_else(shared: Gateway) -> None:
    job_id, other = finished(shared), finished(shared)
    token = {"share": share(shared, job_id)["token"]}
    calls = [
        ("GET", f"/v1/jobs/{other}"),
        ("GET", f"/v1/jobs/{job_id}/media"),
        ("GET", f"/v1/jobs/{job_id}/events"),
        ("GET", f"/v1/jobs/{job_id}/shares"),
        ("POST", f"/v1/jobs/{job_id}/shares"),
        ("GET", f"/v1/jobs/{job_id}/ratings"),
        ("POST", f"/v1/jobs/{job_id}/cancel"),
        ("DELETE", f"/v1/jobs/{job_id}"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/job_unknown"),
    ]
    with stranger(shared) as client:
        for method, path in calls:
            assert client.request(method, path, params=token).status_code == 401, (method, path)
        assert client.get(f"/v1/jobs/{job_id}", params={"share": "x"}).status_code == 401
    assert shared.client.get(f"/v1/jobs/{job_id}").status_code == 200


def test_share_with_media_plays_them(shared: Gateway) -> None:
    job_id = finished(shared, options='{"keep_media": true}')
    token = {"share": share(shared, job_id, media=True)["token"]}
    with stranger(shared) as client:
        assert client.get(f"/v1/jobs/{job_id}", params=token).json()["links"]["media"]
        assert client.get(f"/v1/jobs/{job_id}/media", params=token).status_code == 200


def test_share_revoked_or_expired_opens_nothing(shared: Gateway) -> None:
    job_id = finished(shared)
    first, second = share(shared, job_id), share(shared, job_id, hours=1e-9)
    listed = shared.client.get(f"/v1/jobs/{job_id}/shares").json()["shares"]
    assert [one["id"] for one in listed] == [first["id"]]
    assert "token" not in listed[0]
    with stranger(shared) as client:
        assert client.get(f"/v1/jobs/{job_id}", params={"share": second["token"]}).status_code == 401
        assert client.get(f"/v1/jobs/{job_id}", params={"share": first["token"]}).status_code == 200
        assert shared.client.delete(f"/v1/jobs/{job_id}/shares/{first['id']}").status_code == 204
        assert client.get(f"/v1/jobs/{job_id}", params={"share": first["token"]}).status_code == 401
    again = shared.client.delete(f"/v1/jobs/{job_id}/shares/{first['id']}")
    assert (again.status_code, again.json()["code"]) == (404, "share_not_found")


def test_share_is_stored_as_a_digest_and_erased_with_the_job(shared: Gateway) -> None:
    job_id = finished(shared)
    token = share(shared, job_id)["token"]
    stored = shared.blobs.get(shares_key(job_id))
    assert stored is not None and token.encode() not in stored
    shared.client.delete(f"/v1/jobs/{job_id}")
    assert shared.stored() == []


@pytest.mark.parametrize("wanted", [{"hours": 0}, {"hours": -1}, {"hours": 1e9}, {"unknown": 1}, []])
def test_share_invalid_request_is_refused(shared: Gateway, wanted: object) -> None:
    answer = shared.client.post(f"/v1/jobs/{finished(shared)}/shares", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


def test_share_unfinished_job_has_none(shared: Gateway) -> None:
    answer = shared.client.post(f"/v1/jobs/{shared.made()}/shares")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_unfinished")


def test_share_too_many_are_refused(shared: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.shares.MAX_SHARES", 1)
    job_id = finished(shared)
    share(shared, job_id, hours=1e-9)
    share(shared, job_id)
    assert shared.client.post(f"/v1/jobs/{job_id}/shares").status_code == 400

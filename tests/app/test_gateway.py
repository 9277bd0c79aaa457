"""The gateway as a whole: keys, loopback, health, metrics, errors of the framework, the OpenAPI document."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from app.main import create_app
from app.settings import Settings
from ml.results import Options, Result
from ml.vocabulary import EMOTIONS
from tests.app.calls import KEYS, bearer
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from tests.app.fake_workers import FACE, worker
from workers.protocol.blobs.blob_store import BlobStore
from workers.protocol.blobs.storage_backend import storage_full
from workers.protocol.records import BundleRejection, Heartbeat
from workers.protocol.store.job_store import JobStore


@pytest.fixture
def keyed(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    return open_gateway()


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), {"Authorization": "Bearer"}, {"Authorization": "Basic bmV3"}, bearer("é" * 9)]
)
def test_request_without_valid_key_is_unauthorized(keyed: Gateway, headers: dict[str, str]) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = keyed.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=encoded)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert keyed.stored() == []


def test_job_belongs_to_caller_not_to_key(keyed: Gateway) -> None:
    post = keyed.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer("old"))
    path = post.json()["links"]["self"]
    assert keyed.client.get(path, headers=bearer("new")).status_code == 200
    for answer in (
        keyed.client.get(path, headers=bearer("bobs")),
        keyed.client.get(f"{path}/result", headers=bearer("bobs")),
        keyed.client.post(f"{path}/cancel", headers=bearer("bobs")),
        keyed.client.delete(path, headers=bearer("bobs")),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert keyed.client.get(path, headers=bearer("new")).json()["status"] == "queued"


def test_health_without_key_is_available(keyed: Gateway) -> None:
    assert keyed.client.get("/livez").json() == {"status": "alive"}
    assert keyed.client.get("/metrics").status_code == 200


@pytest.mark.parametrize("keys", ["ann", "ann:123", "ann:" + "g" * 64, "a b:" + "0" * 64])
def test_settings_invalid_api_keys_raise(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_API_KEYS", keys)
    with pytest.raises(ValidationError, match="name:sha256"):
        Settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_settings_public_host_without_keys_raises(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="AFFECT_API_KEYS"):
        Settings(host=host)
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    assert Settings(host=host).host == host


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Host": "192.168.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Host": "["},
    ],
)
def test_request_from_other_origin_is_unauthorized(gateway: Gateway, headers: dict[str, str]) -> None:
    for path in ("/", "/v1/jobs/job_x", "/metrics"):
        answer = gateway.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_request_from_own_page_is_accepted(gateway: Gateway) -> None:
    own = str(gateway.client.base_url).rstrip("/")
    assert gateway.client.get("/livez", headers={"Origin": own}).status_code == 200
    port = gateway.client.base_url.port
    assert gateway.client.get("/livez", headers={"Host": f"localhost:{port}"}).status_code == 200


def test_readyz_is_ready_once_worker_has_loaded(gateway: Gateway) -> None:
    def reason() -> str:
        answer = gateway.client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert [fault["location"] for fault in answer.json()["errors"]] == ["workers"]
        return str(answer.json()["detail"])

    assert reason() == "No worker is running."
    gateway.worker_registry.heartbeat(worker("a", loaded=False))
    assert "loading" in reason()
    gateway.worker_registry.heartbeat(Heartbeat(worker="b", kinds=("io",), bundle="none", loaded=True))
    assert "loading" in reason()
    gateway.worker_registry.heartbeat(worker("a", FACE))
    assert gateway.client.get("/readyz").json() == {"status": "ready"}
    assert [path for path in gateway.settings.data_dir.rglob("*") if path.is_file()] == []
    assert 'affect_workers{kind="inference"} 1.0' in gateway.client.get("/metrics").text
    gateway.worker_registry.deregister("a")
    assert "loading" not in reason()


def test_readyz_without_redis_or_space_is_unavailable(
    open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise storage_full()

    monkeypatch.setattr(BlobStore, "put", refuses)
    answer = open_gateway(redis_url="unix:///nowhere/redis.sock").client.get("/readyz")
    assert answer.status_code == 503
    assert [fault["location"] for fault in answer.json()["errors"]] == ["redis", "storage", "workers"]


def test_models_are_listed_once_with_worker_count(gateway: Gateway) -> None:
    assert gateway.client.get("/v1/models").json() == {"models": [], "bundles": [], "refused": []}
    newer = FACE.model_copy(update={"version": 4})
    for heartbeat in (worker("a", FACE), worker("b", FACE), worker("c", newer), worker("d", newer, loaded=False)):
        gateway.worker_registry.heartbeat(heartbeat)
    told = gateway.client.get("/v1/models").json()
    assert [(model["name"], model["version"], model["loaded"]) for model in told["models"]] == [
        ("face", 3, 2),
        ("face", 4, 1),
    ]
    assert told["models"][0]["licence"]["commercial"] is False
    assert told["models"][0]["metrics"] == {"fer2013": {"accuracy": 0.65}}
    assert told["models"][0]["labels"] == list(EMOTIONS)
    assert told["bundles"] == [{"name": "default", "digest": "0" * 64, "loaded": 3}]


def test_models_rejected_bundle_has_reason(gateway: Gateway) -> None:
    refusal = BundleRejection(digest="1" * 64, reason="the weights of face@4 are damaged")
    refusing = [worker(name, loaded=False).model_copy(update={"refused": refusal}) for name in "ab"]
    for heartbeat in refusing:
        gateway.worker_registry.heartbeat(heartbeat)
    told = gateway.client.get("/v1/models").json()
    assert told["refused"] == [{"name": "default", "workers": 2, **refusal.model_dump()}] and told["bundles"] == []
    assert "affect_workers_refusing 2.0" in gateway.client.get("/metrics").text
    assert refusal.reason in gateway.client.get("/readyz").json()["detail"]


def test_models_without_key_are_unauthorized(keyed: Gateway) -> None:
    assert keyed.client.get("/v1/models").status_code == 401
    assert keyed.client.get("/v1/models", headers=bearer("new")).status_code == 200


def test_list_and_position_reveal_nothing_of_others(keyed: Gateway) -> None:
    for secret in ("old", "bobs", "new"):
        keyed.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, data={"tag": "x"}, headers=bearer(secret))
    mine = keyed.client.get("/v1/jobs?tag=x", headers=bearer("old")).json()["jobs"]
    assert [job["position"] for job in mine] == [2, 0]
    assert len(keyed.client.get("/v1/jobs", headers=bearer("bobs")).json()["jobs"]) == 1
    assert keyed.client.get("/v1/jobs").status_code == 401


def test_expired_job_of_other_caller_is_not_found(open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECT_API_KEYS", KEYS)
    gateway = open_gateway(result_ttl=0.001, lease_seconds=0.1)
    post = gateway.client.post("/v1/jobs", files={"file": ("a.png", PNG)}, headers=bearer("new"))
    path = post.json()["links"]["self"]
    gateway.succeed()
    assert eventually(lambda: gateway.client.get(path, headers=bearer("old")).status_code == 410)
    assert gateway.client.get(path, headers=bearer("bobs")).status_code == 404


def test_metrics_label_routes_by_template(gateway: Gateway) -> None:
    job_id = gateway.made()
    gateway.client.get(f"/v1/jobs/{job_id}")
    gateway.client.get("/no/such/path")
    told = gateway.client.get("/metrics").text
    assert 'affect_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 1.0' in told
    assert 'affect_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in told
    assert f"affect_upload_bytes_total {float(len(PNG))}" in told
    assert job_id not in told


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/v1/jobs/x", 405), ("GET", "/v1/nowhere", 404)]
)
def test_framework_error_is_problem(gateway: Gateway, method: str, path: str, status: int) -> None:
    answer = gateway.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, "validation_failed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == path


def test_unexpected_error_reveals_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(JobStore, "get", broken)
    answer = gateway.client.get("/v1/jobs/job_x")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/nowhere"])
def test_response_has_security_headers(gateway: Gateway, path: str) -> None:
    headers = gateway.client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_page_has_disclaimer(gateway: Gateway) -> None:
    page = gateway.client.get("/").text
    assert "What this is not" in page
    assert 'href="/docs"' in page


def test_pages_load_nothing_from_other_hosts(gateway: Gateway) -> None:
    for page in ("/", "/docs"):
        answer = gateway.client.get(page)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        policy = answer.headers["content-security-policy"]
        assert "http" not in policy and "unsafe-eval" not in policy
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", answer.text)
        assert loaded and all(link.startswith("/") and not link.startswith("//") for link in loaded)
        for link in loaded:
            assert gateway.client.get(link).status_code in (200, 503), link
    script = gateway.client.get("/ui/js/docs.js")
    assert "javascript" in script.headers["content-type"]
    assert "http:" not in script.text and "https:" not in script.text
    assert gateway.client.get("/ui/docs.html", follow_redirects=True).status_code == 400
    assert gateway.client.get("/ui/tests/format.test.js").status_code == 400
    assert gateway.client.get("/ui/js/..%2f..%2fsettings.py").status_code in (400, 404)
    assert gateway.client.get("/ui/js/..%2fdocs.html").status_code == 404
    assert gateway.client.get("/ui/js/nothing.js").json()["code"] == "validation_failed"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(create_app(Settings()).openapi()))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == "$ref")
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)


def test_openapi_has_result_options_and_problem(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas["Result"]["properties"]) == set(Result.model_fields)
    assert set(schemas["Options"]["properties"]) == set(Options.model_fields)
    assert "required" not in schemas["Options"]
    assert "job_unfinished" in schemas["Problem"]["properties"]["code"]["enum"]
    assert "from" in schemas["Moment"]["properties"]


def test_openapi_references_exist(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    named = set(references(document))
    assert named
    assert {name.removeprefix("#/components/schemas/") for name in named} <= set(schemas)


def test_openapi_has_example_of_each_upload_error(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v1/jobs"]["post"]["responses"]
    shown = {
        code
        for response in responses.values()
        for code in response.get("content", {}).get("application/problem+json", {}).get("examples", {})
    }
    assert {"invalid_options", "file_too_large", "unsupported_media", "storage_full", "unauthorized"} <= shown
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_import_gateway_does_not_import_torch_or_cv2() -> None:
    code = "import sys, app.main; print([m for m in ('torch', 'cv2', 'ml.media', 'ml.inference') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

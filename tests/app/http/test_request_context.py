"""Requests have names, which the answer, the log and the job carry."""

import logging
import re

import pytest

from tests.app.conftest import Gateway
from workers.protocol.blob_keys import request_key
from workers.protocol.records import JobRequest


@pytest.mark.parametrize("name", ["0123abcd-ef", "a" * 64, "svc.checkout_42"])
def test_request_id_valid_is_kept_and_stored_with_job(gateway: Gateway, name: str) -> None:
    gateway.client.headers["X-Request-ID"] = name
    answer = gateway.post()
    assert answer.headers["x-request-id"] == name
    request = JobRequest.model_validate_json(gateway.blobs.get(request_key(answer.json()["id"])) or b"")
    assert request.origin.request_id == name
    assert request.origin.traceparent is None
    assert gateway.client.get("/v1/jobs/job_none").json()["request_id"] == name


@pytest.mark.parametrize("name", ["short", "a" * 65, "ann@example.org", 'x"} {"level', "über-name-123"])
def test_request_id_invalid_is_replaced(gateway: Gateway, name: str) -> None:
    answer = gateway.client.get("/v1/jobs", headers={"X-Request-ID": name.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


def test_log_has_route_and_job_but_no_query_or_address(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "app")
    job_id = gateway.made()
    gateway.client.get(f"/v1/jobs/{job_id}?wait=0&note=hidden-query")
    gateway.client.get("/hidden-path/of-someone")
    gateway.client.get("/v1/jobs/hidden-id-of-nobody")
    lines = [(record.getMessage(), record.__dict__.get("fields", {})) for record in caplog.records]
    assert ("GET /v1/jobs/{job_id} 200", job_id) in [(line, fields.get("job_id")) for line, fields in lines]
    assert "GET unmatched 404" in [line for line, _ in lines]
    assert ("job accepted", {"job_id": job_id}) in lines
    assert "hidden" not in str(lines) and "127.0.0.1" not in str(lines)

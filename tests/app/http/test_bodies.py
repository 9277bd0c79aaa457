"""JSON bodies: the key comes first, and bytes, depth and time are bounded."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from app.http import bodies
from app.http.bodies import MAX_BODY_BYTES
from app.main import create_app
from app.settings import Settings
from tests.app.calls import KEYS, bearer, problem
from tests.app.conftest import Gateway, OpenGateway

PATH = "/v1/webhooks/test"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def keyed(open_gateway: OpenGateway) -> Gateway:
    return open_gateway(api_keys=KEYS)


def endless(sent: list[int], block: bytes = b" " * 65_536) -> Iterator[bytes]:
    """Ten megabytes, of which `sent` counts what left."""
    for _ in range(160):
        sent.append(len(block))
        yield block


def post(gateway: Gateway, content: bytes | Iterator[bytes], key: str | None = None) -> httpx.Response:
    return gateway.client.post(PATH, content=content, headers=JSON | (bearer(key) if key else {}))


def test_route_declares_no_body() -> None:
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert [route.path for route in routes if route.body_field is not None] == []


def test_body_without_key_is_not_read(keyed: Gateway) -> None:
    problem(post(keyed, b"no json"), 401, "unauthorized")
    sent: list[int] = []
    problem(post(keyed, endless(sent)), 401, "unauthorized")


@pytest.mark.parametrize("declared", [True, False])
def test_body_above_limit_is_too_large(keyed: Gateway, declared: bool) -> None:
    large = b" " * (MAX_BODY_BYTES + 1)
    problem(post(keyed, large if declared else iter([large]), "old"), 413, "file_too_large")
    problem(post(keyed, b" " * MAX_BODY_BYTES, "old"), 400, "validation_failed")


def test_body_nested_deeply_is_invalid(keyed: Gateway) -> None:
    began = time.monotonic()
    for body in (b"[" * 60_000, b'{"url":' * 8_000, b"[" + b"[]," * 20_000 + b"[]]"):
        problem(post(keyed, body, "old"), 400, "validation_failed")
    assert time.monotonic() - began < 2


def test_body_with_many_faults_lists_the_first(keyed: Gateway) -> None:
    body = json.dumps({"url": 1} | {f"unknown {number}" + "x" * 300: number for number in range(100)}).encode()
    told = problem(post(keyed, body, "old"), 400, "validation_failed")
    assert len(told["errors"]) == 20
    assert all(len(fault["location"]) <= 200 for fault in told["errors"])


def test_body_of_another_type_is_rejected(keyed: Gateway) -> None:
    answer = keyed.client.post(PATH, content=b'{"url": "https://a.example"}', headers=bearer("old"))
    assert problem(answer, 400, "validation_failed")["errors"][0]["location"] == "header.content-type"


@pytest.mark.slow
def test_body_that_stalls_is_aborted(keyed: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_SECONDS", 0.3)

    def slow() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    began = time.monotonic()
    answer = post(keyed, slow(), "old")
    assert "did not arrive" in problem(answer, 400, "validation_failed")["detail"]
    assert time.monotonic() - began < 5

"""Connections that a stranger opens: their time, bytes and number are bounded, and other callers are served."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.http.connections import MAX_HEAD_BYTES, MAX_PIPELINED, max_connections, raise_file_limit
from app.settings import MAX_CONNECTIONS
from tests.app.conftest import PNG, Gateway, OpenGateway, eventually
from workers.protocol.store.events import MAX_READERS

HEAD = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
MEGABYTE = 1_000_000


@contextmanager
def connection(gateway: Gateway, *options: tuple[int, int, int]) -> Iterator[socket.socket]:
    url = gateway.client.base_url
    with socket.socket() as peer:
        for option in options:
            peer.setsockopt(*option)
        peer.settimeout(10)
        peer.connect((url.host, url.port))
        yield peer


def received(peer: socket.socket) -> bytes:
    """All that the gateway sends until it closes."""
    data = b""
    try:
        while piece := peer.recv(65_536):
            data += piece
    except ConnectionError:
        pass
    return data


def accepted(peer: socket.socket, block: bytes, megabytes: int = 20) -> int:
    """Bytes that the gateway reads of many."""
    sent = 0
    try:
        while sent < megabytes * MEGABYTE:
            peer.sendall(block)
            sent += len(block)
    except OSError:
        pass
    return sent


def is_alive(gateway: Gateway, within: float = 1.0) -> bool:
    began = time.monotonic()
    return gateway.client.get("/livez").status_code == 200 and time.monotonic() - began < within


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: 127", HEAD + b"\r\nGET /liv"])
def test_connection_without_complete_head_is_closed(open_gateway: OpenGateway, sent: bytes) -> None:
    gateway = open_gateway(head_seconds=1)
    with connection(gateway) as peer:
        peer.sendall(sent)
        began = time.monotonic()
        received(peer)
        assert 0.5 < time.monotonic() - began < 8


def test_connection_head_in_drops_is_closed(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(head_seconds=1)
    with connection(gateway) as peer:
        began = time.monotonic()
        peer.sendall(HEAD + b"X-Slow: ")
        with pytest.raises(OSError):
            while time.monotonic() - began < 10:
                peer.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 8


def test_connection_with_request_in_progress_outlasts_head_time(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(head_seconds=0.5)
    job_id = gateway.made()
    assert gateway.client.get(f"/v1/jobs/{job_id}", params={"wait": 2}).status_code == 200


@pytest.mark.parametrize("field", [b"X-Endless: ", b"", b"Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_connection_endless_header_is_refused(gateway: Gateway, field: bytes) -> None:
    with connection(gateway) as peer:
        peer.sendall(b"POST /livez HTTP/1.1\r\n" + field)
        block = b"x-filler: y\r\n" * 5000 if b"chunked" in field or not field else b"x" * MAX_HEAD_BYTES
        accepted(peer, block)
        assert is_alive(gateway)


def test_connection_header_in_one_line_is_bounded(gateway: Gateway) -> None:
    with connection(gateway) as peer:
        peer.sendall(HEAD + b"X-Endless: ")
        assert accepted(peer, b"x" * MAX_HEAD_BYTES) < 10 * MEGABYTE
    assert is_alive(gateway)


def test_connection_pipelined_requests_are_bounded(gateway: Gateway) -> None:
    with connection(gateway) as peer:
        peer.sendall((HEAD + b"\r\n") * 4)
        assert eventually(lambda: b"alive" in peer.recv(65_536))
    with connection(gateway) as peer:
        assert accepted(peer, (HEAD + b"\r\n") * (MAX_PIPELINED * 50)) < 10 * MEGABYTE
    assert is_alive(gateway)


def test_connection_above_maximum_replaces_the_longest_idle(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_connections=16)
    job_id = gateway.made()
    with connection(gateway) as waiting, connection(gateway) as idle:
        waiting.sendall(b"GET /v1/jobs/%s?wait=5 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % job_id.encode())
        time.sleep(0.3)
        others: list[Any] = [connection(gateway) for _ in range(40)]
        for other in others:
            other.__enter__()
        assert received(idle) == b""
        assert is_alive(gateway)
        for other in others:
            other.__exit__(None, None, None)
        assert waiting.recv(65_536).startswith(b"HTTP/1.1 200")


def test_connection_that_reads_nothing_is_closed(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(unread_seconds=1)
    job_id = str(gateway.post(PNG + bytes(12 * MEGABYTE)).json()["id"])
    with connection(gateway, (socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)) as peer:
        peer.sendall(b"GET /v1/jobs/%s/media HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % job_id.encode())
        time.sleep(4)
        assert len(received(peer)) < 12 * MEGABYTE


def test_connection_with_slow_reader_gets_everything(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(unread_seconds=2)
    content = PNG + bytes(3 * MEGABYTE)
    job_id = str(gateway.post(content).json()["id"])
    with gateway.client.stream("GET", f"/v1/jobs/{job_id}/media") as answer:
        size = 0
        for piece in answer.iter_bytes(600_000):
            size += len(piece)
            time.sleep(0.5)
    assert size == len(content)


def test_raise_file_limit_reaches_what_the_system_permits() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    assert raise_file_limit() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.parametrize(("files", "expected"), [(20_000, 4000), (1024, 384), (100, 1)])
def test_max_connections_leaves_files_for_the_rest(files: int, expected: int) -> None:
    assert max_connections(files, 4000) == expected


def test_settings_permit_no_more_connections_than_readers_of_events() -> None:
    assert MAX_CONNECTIONS <= MAX_READERS

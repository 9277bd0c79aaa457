"""A live stream from the client's end, and the registered worker at the other end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.app.conftest import Gateway
from workers.protocol.live.streams import WorkerStreams
from workers.protocol.records import Heartbeat


@contextmanager
def stream(gateway: Gateway, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    """Open a live stream."""
    address = str(gateway.client.base_url).replace("http", "ws") + f"/v1/stream{query}"
    with connect(address, open_timeout=20, **options) as socket:
        yield socket


def told(socket: ClientConnection) -> dict[str, Any]:
    """Return the next message of the gateway."""
    return dict(json.loads(socket.recv(timeout=20)))


def refused(socket: ClientConnection) -> tuple[str, int]:
    """Return the code of the problem in the next message, and that of the close."""
    problem = told(socket)
    assert problem["type"] == "error", problem
    with pytest.raises(ConnectionClosed):
        socket.recv(timeout=20)
    assert socket.close_code is not None
    return problem["problem"]["code"], socket.close_code


def live_worker(gateway: Gateway) -> WorkerStreams:
    """Register a worker for streams. The test acts in its place."""
    gateway.worker_registry.heartbeat(Heartbeat(worker="w:1", kinds=("live",), bundle="default", loaded=True))
    return WorkerStreams(Redis.from_url(gateway.settings.redis_url))

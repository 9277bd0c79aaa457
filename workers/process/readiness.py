"""Readiness of one worker: whether its processes can take jobs now. Its metrics port answers for it at `/readyz`."""

import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import RedisError

from workers.protocol.records import Heartbeat
from workers.protocol.store.worker_registry import WorkerRegistry

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class WorkerReadiness:
    """Readiness of a worker. `reason`: why it takes no jobs; if it takes some, why it rejects the newest bundle."""

    ready: bool
    reason: str | None = None

    @property
    def document(self) -> dict[str, str]:
        answer = {"status": "ready" if self.ready else "not ready"}
        return answer | ({"reason": self.reason} if self.reason else {})


def read_readiness(registry: WorkerRegistry) -> WorkerReadiness:
    """Return the readiness of this process and its children, as their heartbeats report it."""
    try:
        own = [heartbeat for heartbeat in registry.workers() if _is_own(heartbeat)]
    except RedisError:
        return WorkerReadiness(False, "Redis does not answer.")
    refused = next((heartbeat.refused for heartbeat in own if heartbeat.refused), None)
    reason = f"The worker rejects the bundle: {refused.reason}." if refused else None
    if any(heartbeat.loaded for heartbeat in own):
        return WorkerReadiness(True, reason)
    return WorkerReadiness(False, reason or ("The worker is loading its models." if own else "The worker is starting."))


def _is_own(heartbeat: Heartbeat) -> bool:
    """Return whether a heartbeat is from this process or from a child of it."""
    host, _, process = heartbeat.worker.rpartition(":")
    if host != socket.gethostname():
        return False
    return int(process) == os.getpid() or _parent(int(process)) == os.getpid()


def _parent(process: int) -> int | None:
    """Return the id of a process's parent, None if there is no such process."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[1])  # the name before it may contain spaces


def health_app(metrics: WsgiApp, readiness: Callable[[], WorkerReadiness]) -> WsgiApp:
    """Return an application that answers `/livez` and `/readyz`, and everything else with the metrics."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path not in ("/livez", "/readyz"):
            return metrics(environ, start_response)
        state = readiness() if path == "/readyz" else None
        document = state.document if state else {"status": "alive"}
        status = "200 OK" if state is None or state.ready else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    return answer

"""Prometheus metrics and readiness of a worker, served by its parent process on a port of its own."""

import threading
from collections.abc import Callable
from pathlib import Path
from socket import AI_PASSIVE, SOCK_STREAM, getaddrinfo
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Histogram, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.process_collector import ProcessCollector

from workers.process.gpu import GpuCollector
from workers.process.readiness import WorkerReadiness, health_app
from workers.protocol.observability.metrics import jobs_reaped, scraped_registry, start_sharing, stop_sharing

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600)
_RATIO = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class WorkerMetrics:
    """Metrics of one worker: created in the parent process before it forks, updated in any of its processes."""

    def __init__(self, *, shared: bool = False) -> None:
        """`shared`: the worker has child processes, with counts that the parent serves."""
        self._shared_folder: Path | None = start_sharing() if shared else None
        self._server: WSGIServer | None = None
        counts = CollectorRegistry()
        self.attempts = Counter("affect_attempts", "Claimed jobs.", ["queue"], registry=counts)
        self.queue_wait_seconds = Histogram(
            "affect_queue_wait_seconds",
            "Seconds that a job waited in its queue.",
            ["queue"],
            buckets=_SECONDS,
            registry=counts,
        )
        self.attempts_ended = Counter(
            "affect_attempts_ended",
            "Ended attempts, by outcome and failure code.",
            ["queue", "outcome", "code"],
            registry=counts,
        )
        self.attempt_seconds = Histogram(
            "affect_attempt_seconds",
            "Seconds from claim to outcome of an attempt.",
            ["queue", "outcome"],
            buckets=_SECONDS,
            registry=counts,
        )
        self.stage_seconds = Histogram(
            "affect_stage_seconds", "Seconds of a stage of an analysis.", ["stage"], buckets=_SECONDS, registry=counts
        )
        self.media_analysed = Counter("affect_media_analysed", "Analysed files.", ["kind"], registry=counts)
        self.media_analysed_seconds = Counter(
            "affect_media_analysed_seconds", "Seconds of analysed media.", ["kind"], registry=counts
        )
        self.real_time_factor = Histogram(
            "affect_real_time_factor",
            "Seconds of work per second of media, for recordings that were not split into parts.",
            ["kind"],
            buckets=_RATIO,
            registry=counts,
        )
        self.faces = Counter("affect_faces", "Faces read; a face counts once per frame.", registry=counts)
        self.batch_size = Histogram(
            "affect_batch_size", "Inputs of one forward pass.", ["model"], buckets=_SIZES, registry=counts
        )
        self.webhook_deliveries = Counter(
            "affect_webhook_deliveries", "Attempts to deliver a webhook.", ["outcome"], registry=counts
        )
        self.webhook_delivery_seconds = Histogram(
            "affect_webhook_delivery_seconds",
            "Seconds of an attempt to deliver a webhook.",
            buckets=_SECONDS,
            registry=counts,
        )
        self.jobs_reaped = jobs_reaped(counts)
        self.registry = scraped_registry(counts)
        ProcessCollector(registry=self.registry)
        self.registry.register(GpuCollector())

    def serve(self, host: str, port: int, readiness: Callable[[], WorkerReadiness]) -> int:
        """Serve metrics, `/livez` and `/readyz` over HTTP from the parent process. Return the port, which the system
        chooses if it is 0.

        Raises OSError if the port is taken.
        """

        class Server(ThreadingWSGIServer):
            address_family = getaddrinfo(host, port, type=SOCK_STREAM, flags=AI_PASSIVE)[0][0]

        app = health_app(make_wsgi_app(self.registry), readiness)
        self._server = make_server(host, port, app, Server, handler_class=_SilentHandler)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        return int(self._server.server_port)

    def close_inherited_socket(self) -> None:
        """Close the server's socket in a forked child, so that the port does not outlive the parent."""
        if self._server is not None:
            self._server.socket.close()

    def close(self) -> None:
        """Stop serving, and delete the shared counts. For the parent process."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._shared_folder is not None:
            stop_sharing(self._shared_folder)

"""A server on loopback for what reaches out: it answers as a test says, and counts the connections that were made."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Loopback:
    """`connections`: accepted so far, whatever came over them. `requests`: what came, in order."""

    port: int
    connections: int = 0
    requests: list[Received] = field(default_factory=list)

    def url(self, path: str = "/a.png", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """`reply` for the usual; a test may also write to `wfile` itself."""

    protocol_version = "HTTP/1.1"
    received: Received
    ended: threading.Event

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def loopback(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serves while the context lasts; `answer` runs in a thread for each connection."""
    ended = threading.Event()

    class Answering(Handler):
        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.received = Received(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.ended = ended
            served.requests.append(self.received)
            self.close_connection = True
            with suppress(BrokenPipeError, ConnectionResetError):
                answer(self)

        do_GET = do_POST = do_CONNECT = handle_request

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def process_request(self, request: Any, address: Any) -> None:
            served.connections += 1
            super().process_request(request, address)

        def handle_error(self, request: Any, address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Answering) as server:
        served = Loopback(server.server_port)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield served
        finally:
            ended.set()
            server.shutdown()
            thread.join()

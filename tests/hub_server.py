"""A model hub on the loopback that answers like huggingface.co: hashes, redirects to large files, ranges."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LARGE = 100_000
"""Bytes from which a file is kept as LFS: listed with a sha256, served from another path."""


@dataclass
class FakeHub:
    """`repositories`: contents by OWNER/REPO and file name. `served` replaces what comes for a file; `cut` ends the
    next answers after so many bytes; `asked` holds (file, Range header) of each download; `tags` are of all."""

    repositories: dict[str, dict[str, bytes]]
    served: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    gate: threading.Event | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    endpoint: str = ""
    tags: tuple[str, ...] = ("license:mit",)

    def revision(self, repository: str) -> str:
        files = self.repositories[repository]
        return hashlib.sha1(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()

    def listing(self, repository: str) -> bytes:
        siblings = [self._sibling(name, content) for name, content in self.repositories[repository].items()]
        told = {"id": repository, "sha": self.revision(repository), "siblings": siblings, "tags": self.tags}
        return json.dumps(told).encode()

    @staticmethod
    def _sibling(name: str, content: bytes) -> dict[str, object]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        told: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
        if len(content) >= LARGE:
            digest = hashlib.sha256(content).hexdigest()
            told |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(content), "pointerSize": 135}}
        return told


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, hub)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    parts = urlsplit(request.path)
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", parts.path):
        if found[1] not in hub.repositories or found[2] not in ("main", hub.revision(found[1])):
            _send(request, 401, b'{"error":"Invalid username or password."}')  # of what is unknown, too
            return
        assert parse_qs(parts.query) == {"blobs": ["true"]}
        _send(request, 200, hub.listing(found[1]))
        return
    found = re.fullmatch(r"/(cdn/)?([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", parts.path)
    if found is None or hub.revision(found[2]) != found[3]:
        _send(request, 404, b"Not found")
        return
    content = hub.repositories[found[2]][found[4]]
    if len(content) >= LARGE and not found[1]:
        request.send_response(302)
        request.send_header("Location", f"/cdn{request.path}")
        request.end_headers()
        return
    _send_file(request, hub, found[4], hub.served.get(found[4], content))


def _send(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _send_file(request: BaseHTTPRequestHandler, hub: FakeHub, name: str, content: bytes) -> None:
    asked = request.headers.get("Range")
    hub.asked.append((name, asked))
    first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and hub.ranges else 0
    request.send_response(206 if first else 200)
    if first:
        request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(content) - first))
    request.end_headers()
    cut = hub.cuts.pop(0) if hub.cuts and len(content) >= LARGE else len(content)
    request.wfile.write(content[first : first + cut])
    request.wfile.flush()
    if hub.gate is not None and cut < len(content) - first:
        hub.reached.set()
        hub.gate.wait()

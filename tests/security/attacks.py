"""Attacks on a running gateway, and what each costs it: `python -m tests.security.attacks [NAME …]`.

Each attack runs against a fresh gateway process with keys for two callers, over a Redis of its own, on loopback only.
Printed per attack: memory of the gateway before and at its peak, the longest answer time of `/livez`, the longest
answer time of another caller's request, and what the attacker got.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from redis import Redis
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from tests.redis_server import redis_server
from workers.protocol.records import Heartbeat
from workers.protocol.store.worker_registry import WorkerRegistry

ROOT = Path(__file__).parents[2]
KEYS = {name: f"key-of-{name}" for name in ("mallory", "ann")}
MEGABYTE = 1_000_000
PIPELINED = b"GET /livez HTTP/1.1\r\n\r\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


@dataclass
class Target:
    """The attacked gateway."""

    port: int
    pid: int
    redis: Redis
    slowest: dict[str, float] = field(default_factory=lambda: {"livez": 0.0, "ann": 0.0})
    failures: list[str] = field(default_factory=list)

    def memory(self, field: str) -> int:
        """Memory of the process in MB: `VmRSS` (now) or `VmHWM` (peak)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024 // MEGABYTE

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def head(self, line: str, *headers: str, key: str | None = None) -> bytes:
        shown = [f"Authorization: Bearer {KEYS[key]}"] if key else []
        return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *shown, *headers, "", ""]).encode()

    def job(self, owner: str, content: bytes = PNG) -> str:
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/v1/jobs",
            files={"file": ("a.png", content)},
            headers={"Authorization": f"Bearer {KEYS[owner]}"},
            timeout=60,
        )
        return str(answer.raise_for_status().json()["id"])


@contextmanager
def target() -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder, redis_server() as url, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        digests = (f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
        environment = {
            **os.environ,
            "AFFECT_API_KEYS": ",".join(digests),
            "AFFECT_DATA_DIR": folder,
            "AFFECT_REDIS_URL": url,
            "AFFECT_PORT": str(port),
            "AFFECT_LOG_LEVEL": "ERROR",
        }
        running = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment)
        redis = Redis.from_url(url)
        try:
            while True:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            WorkerRegistry(redis).heartbeat(Heartbeat(worker="w:1", kinds=("live",), bundle="default", loaded=True))
            yield Target(port, running.pid, redis)
        finally:
            running.kill()
            running.wait()


def watch(attacked: Target, stop: threading.Event, name: str, path: str, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{attacked.port}", headers=headers, timeout=120) as client:
        while not stop.is_set():
            began = time.monotonic()
            try:
                if (status := client.get(path).status_code) != 200:
                    attacked.failures.append(f"{name} {status}")
            except httpx.TransportError as error:
                attacked.failures.append(f"{name} {type(error).__name__}")
            attacked.slowest[name] = max(attacked.slowest[name], time.monotonic() - began)
            time.sleep(0.02)


def answer(peer: socket.socket) -> str:
    """First line of what the gateway sends."""
    with suppress(OSError):
        return peer.recv(65536).split(b"\r\n")[0].decode("latin-1") or "closed"
    return "no answer"


def send_all(peer: socket.socket, pieces: Iterator[bytes]) -> int:
    """Send until the gateway stops reading. Returns the bytes that it took."""
    sent = 0
    with suppress(OSError):
        for piece in pieces:
            peer.sendall(piece)
            sent += len(piece)
    return sent


def repeated(piece: bytes, megabytes: float) -> Iterator[bytes]:
    block = piece * max(1, 65536 // len(piece))
    for _ in range(round(megabytes * MEGABYTE / len(block))):
        yield block


def chunked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def body_without_key(attacked: Target, piece: bytes, megabytes: float, key: str | None = None) -> str:
    with attacked.connect() as peer:
        peer.sendall(
            attacked.head(
                "POST /v1/webhooks/test", "Content-Type: application/json", "Transfer-Encoding: chunked", key=key
            )
        )
        sent = send_all(peer, chunked(repeated(piece, megabytes)))
        return f"{answer(peer)} after {sent / MEGABYTE:.1f} MB"


def large_body(attacked: Target) -> str:
    return body_without_key(attacked, b"a", 100)


def nested_body(attacked: Target) -> str:
    with attacked.connect() as peer:
        body = b"[" + b"[]," * 4_000_000 + b"[]]"
        peer.sendall(
            attacked.head(
                "POST /v1/webhooks/test",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                key="mallory",
            )
        )
        sent = send_all(peer, iter([body]))
        return f"{answer(peer)} after {sent / MEGABYTE:.1f} MB"


def endless_header(attacked: Target) -> str:
    with attacked.connect() as peer:
        peer.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Endless: ")
        return f"took {send_all(peer, repeated(b'a', 100)) / MEGABYTE:.1f} MB"


def pipelined(attacked: Target) -> str:
    with attacked.connect() as peer:
        peer.settimeout(5)
        return f"took {send_all(peer, repeated(PIPELINED, 20)) / MEGABYTE:.1f} MB"


def half_open(attacked: Target) -> str:
    peers = [attacked.connect() for _ in range(200)]
    for peer in peers[::2]:
        peer.sendall(b"GET /livez HTTP/1.1\r\nHost: ")
    time.sleep(25)
    open_still = 0
    for peer in peers:
        peer.setblocking(False)
        try:
            open_still += peer.recv(1) != b""
        except BlockingIOError:
            open_still += 1
        except OSError:
            pass
        peer.close()
    return f"{open_still} of {len(peers)} still open after 25 s"


def start_message(attacked: Target) -> str:
    wrong = json.dumps({"options": {f"unknown_{number}": "x" * 50 for number in range(50_000)}})
    with connect(
        f"ws://127.0.0.1:{attacked.port}/v1/stream",
        additional_headers={"Authorization": f"Bearer {KEYS['mallory']}"},
        max_size=None,
        open_timeout=60,
    ) as stream:
        try:
            stream.send(wrong)
            size = len(stream.recv(timeout=120))
        except ConnectionClosed as error:
            return f"{len(wrong) / MEGABYTE:.1f} MB are answered with close {error.code}"
    return f"{len(wrong) / MEGABYTE:.1f} MB are answered with {size / MEGABYTE:.3f} MB"


def compressed_messages(attacked: Target) -> str:
    """Live messages of 1 MiB that are 1 KB on the wire."""
    address, took = f"ws://127.0.0.1:{attacked.port}/v1/stream", 0
    with connect(
        address,
        additional_headers={"Authorization": f"Bearer {KEYS['mallory']}"},
        compression=None,
        extensions=[ClientPerMessageDeflateFactory(compress_settings={"level": 9})],
        open_timeout=60,
    ) as stream:
        compresses = bool(stream.protocol.extensions)
        message = bytes([1]) + bytes(8) + bytes(2**20 - 9)
        with suppress(ConnectionClosed, TimeoutError):
            stream.send("{}")
            for _ in range(3000 if compresses else 100):
                stream.send(message)
                took += 1
    wire = len(zlib.compress(message, 9)) if compresses else len(message)
    return f"compression {compresses}, took {took} messages, {took * wire / MEGABYTE:.1f} MB on the wire"


def handshake(attacked: Target, peer: socket.socket) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        attacked.head(
            "GET /v1/stream",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            key="mallory",
        )
    )
    peer.recv(4096)


def ping_flood(attacked: Target) -> str:
    """Pings with 125 bytes, whose answers are never read."""
    with attacked.connect() as peer:
        handshake(attacked, peer)
        peer.settimeout(8)
        text = b"{}"
        peer.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        ping = bytes([0x89, 0x80 | 125, 0, 0, 0, 0]) + bytes(125)
        return f"took {send_all(peer, repeated(ping, 60)) / MEGABYTE:.1f} MB"


def small_pings(attacked: Target) -> str:
    """Empty pings: the most frames for the bytes."""
    with attacked.connect() as peer:
        handshake(attacked, peer)
        peer.settimeout(8)
        peer.sendall(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"{}")
        threading.Thread(target=drain, args=(peer,), daemon=True).start()
        return f"took {send_all(peer, repeated(bytes([0x89, 0x80, 0, 0, 0, 0]), 20)) / MEGABYTE:.1f} MB"


def drain(peer: socket.socket) -> None:
    with suppress(OSError):
        while peer.recv(65536):
            pass


def many_events(attacked: Target) -> str:
    """Event streams of one caller, each of which waits."""
    job, peers, refused = attacked.job("mallory"), [], 0
    for _ in range(2000):
        peer = attacked.connect()
        peer.sendall(attacked.head(f"GET /v1/jobs/{job}/events", key="mallory"))
        peers.append(peer)
    for peer in peers:
        refused += b" 429 " in peer.recv(64)
    for peer in peers:
        peer.close()
    return f"{refused} of {len(peers)} refused"


def unread_download(attacked: Target) -> str:
    job = attacked.job("mallory", PNG + bytes(20 * MEGABYTE))
    peers = []
    for _ in range(10):
        peer = attacked.connect()
        peer.sendall(attacked.head(f"GET /v1/jobs/{job}/media", key="mallory"))
        peers.append(peer)
    seconds = 75
    time.sleep(seconds)
    ports = {peer.getsockname()[1] for peer in peers}
    opened = established(attacked.port) & ports
    for peer in peers:
        peer.close()
    return f"{len(opened)} of {len(peers)} still open after {seconds} s"


def established(port: int) -> set[int]:
    """Ports of the clients that the gateway still holds a connection to."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(row[2].split(":")[1], 16) for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"}


def slow_body(attacked: Target) -> str:
    with attacked.connect() as peer:
        peer.settimeout(0.01)
        peer.sendall(
            attacked.head(
                "POST /v1/webhooks/test", "Content-Type: application/json", "Content-Length: 60000", key="mallory"
            )
        )
        began = time.monotonic()
        while time.monotonic() - began < 60:
            try:
                peer.sendall(b" ")
                with suppress(TimeoutError):
                    return f"{answer_line(peer)} after {time.monotonic() - began:.0f} s"
            except OSError:
                return f"closed after {time.monotonic() - began:.0f} s"
            time.sleep(1)
        return "still read after 60 s"


def answer_line(peer: socket.socket) -> str:
    return peer.recv(65536).split(b"\r\n")[0].decode("latin-1") or "closed"


ATTACKS: dict[str, Callable[[Target], str]] = {
    attack.__name__: attack
    for attack in (
        large_body,
        nested_body,
        endless_header,
        pipelined,
        half_open,
        start_message,
        compressed_messages,
        ping_flood,
        small_pings,
        many_events,
        unread_download,
        slow_body,
    )
}


def main(names: list[str]) -> None:
    for name in names or ATTACKS:
        with target() as attacked:
            before, stop = attacked.memory("VmRSS"), threading.Event()
            watchers = [
                threading.Thread(target=watch, args=(attacked, stop, "livez", "/livez", {})),
                threading.Thread(
                    target=watch,
                    args=(attacked, stop, "ann", "/v1/jobs", {"Authorization": f"Bearer {KEYS['ann']}"}),
                ),
            ]
            for watcher in watchers:
                watcher.start()
            time.sleep(1)
            began = time.monotonic()
            outcome = ATTACKS[name](attacked)
            seconds = time.monotonic() - began
            time.sleep(1)
            stop.set()
            for watcher in watchers:
                watcher.join()
            failures = f", failures {sorted(set(attacked.failures))}" if attacked.failures else ""
            print(
                f"{name}: {outcome}; {seconds:.1f} s; memory {before} → {attacked.memory('VmHWM')} MB; "
                f"livez {attacked.slowest['livez']:.2f} s, ann {attacked.slowest['ann']:.2f} s{failures}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])

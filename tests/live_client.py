"""A client of the live stream for tests and trials: sends like a camera and a microphone, and times what comes back."""

import io
import json
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ml.media import SAMPLE_RATE

SOUND_SECONDS = 0.25


def jpeg(image: NDArray[np.uint8], quality: int = 80) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality)
    return out.getvalue()


@dataclass
class LiveClient:
    """One stream. What came back is in `updates`; `ended` holds the problem and the close code, once it is over."""

    socket: ClientConnection
    updates: list[dict[str, Any]] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    ended: tuple[dict[str, Any] | None, int | None] | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, address: str, options: dict[str, Any] | None = None, **how: Any) -> "LiveClient":
        client = cls(connect(address, open_timeout=30, legacy=True, **how))
        client.socket.send(json.dumps({"options": options or {}}))
        threading.Thread(target=client._listen, daemon=True).start()
        return client

    def show(self, picture: bytes, at: float) -> None:
        self.socket.send(struct.pack("<Bd", 1, at) + picture)

    def say(self, sound: NDArray[np.int16], at: float) -> None:
        self.socket.send(struct.pack("<Bd", 2, at) + sound.astype("<i2").tobytes())

    def play(
        self, pictures: Sequence[bytes], sound: NDArray[np.int16], seconds: float, rate: float, rest: float = 0.0
    ) -> None:
        """Sends in real time, both from their begin again when they end. `rest`: of the clock, where it goes on."""
        began, shown, said = time.monotonic(), 0, 0
        while (now := time.monotonic() - began) < seconds and not self.over.is_set():
            if now * rate >= shown:
                self.show(pictures[shown % len(pictures)], rest + now)
                shown += 1
            if now >= said * SOUND_SECONDS:
                first = round(said * SOUND_SECONDS * SAMPLE_RATE) % max(len(sound), 1)
                piece = sound[first : first + round(SOUND_SECONDS * SAMPLE_RATE)]
                self.say(piece, rest + said * SOUND_SECONDS)
                said += 1
            time.sleep(max(0.0, min(shown / rate, said * SOUND_SECONDS) - (time.monotonic() - began)))

    def close(self) -> None:
        self.socket.close()
        self.over.wait(10)

    def latencies(self) -> list[float]:
        """Seconds from the gateway's receipt of a frame to the update that tells of it."""
        return [update["latency"] for update in self.updates if update["latency"] is not None]

    def _listen(self) -> None:
        problem = None
        try:
            for message in self._messages():
                if message["type"] == "update":
                    self.updates.append(message)
                    self.heard_at.append(time.monotonic())
                elif message["type"] == "ready":
                    self.ready.set()
                else:
                    problem = message["problem"]
        finally:
            self.ended = problem, self.socket.close_code
            self.over.set()

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield json.loads(self.socket.recv())
            except ConnectionClosed:
                return

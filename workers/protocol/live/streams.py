"""Live streams in Redis: short, capped, and deleted when the stream ends.

Redis keeps only the newest frame of a stream, so that a slow worker never reads an old one, and the last few pieces of
sound and messages. Every key expires `STREAM_TTL_SECONDS` after its gateway last renewed it. Redis's append-only file
may still contain the content until its next rewrite, as with a deleted job.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ml.results import Options
from workers.protocol.live.messages import Packet, WorkerMessage
from workers.protocol.settings import SharedSettings
from workers.protocol.store.keys import KEY_PREFIX
from workers.protocol.store.scripts import load

STREAM_TTL_SECONDS = 15.0
STREAM_RENEW_SECONDS = 4.0
MAX_BUFFERED_SOUNDS = 64
"""Maximum pieces of sound per stream that wait for its worker."""
MAX_BUFFERED_MESSAGES = 32
"""Maximum messages per stream that wait for its gateway."""
_TTL_MILLISECONDS = round(STREAM_TTL_SECONDS * 1000)
_FIRST_MESSAGE_ID = "1-0"
"""Id of the entry with which a new stream of messages begins."""


@dataclass(frozen=True)
class _Keys:
    """Keys of one stream. `options` exists while the stream lives."""

    options: str
    frames: str
    sound: str
    messages: str

    @classmethod
    def of_stream(cls, prefix: str, stream: str) -> "_Keys":
        return cls(*(f"{prefix}live:{stream}:{part}" for part in ("about", "frames", "sound", "answers")))

    @property
    def all(self) -> tuple[str, ...]:
        return self.options, self.frames, self.sound, self.messages


def _waiting_key(prefix: str) -> str:
    """Return the key of the streams that wait for a worker."""
    return f"{prefix}live:waiting"


@dataclass(frozen=True)
class ReceivedMessage:
    """Message of a worker. `frame`: number of the frame that this message is the first to include, if any."""

    id: str
    message: bytes
    frame: int | None


class GatewayStreams:
    """The gateway's side of the streams. Belongs to one event loop. Every method raises RedisError."""

    def __init__(self, redis: AsyncRedis, prefix: str = KEY_PREFIX) -> None:
        self._redis, self._prefix = redis, prefix
        self._open = redis.register_script(load("streams/open"))

    @classmethod
    def connect(cls, settings: SharedSettings) -> Self:
        """Create the gateway's side with connections of its own."""
        return cls(AsyncRedis.from_url(settings.redis_url, socket_timeout=None))  # `receive` blocks

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def open_stream(self, owner: str, options: Options, max_streams: int) -> str | None:
        """Open a stream, which waits for a worker. Returns its id; None if the owner has `max_streams` already."""
        stream = secrets.token_urlsafe(20)
        keys = _Keys.of_stream(self._prefix, stream)
        redis_keys = [self._owner_key(owner), keys.options, keys.messages, _waiting_key(self._prefix)]
        opened = await self._open(redis_keys, [stream, max_streams, _TTL_MILLISECONDS, options.model_dump_json()])
        return stream if opened else None

    async def renew_stream(self, owner: str, stream: str) -> None:
        """Keep a stream alive. Call again within `STREAM_TTL_SECONDS`."""
        seconds, microseconds = await self._redis.time()
        expires_at = seconds * 1000 + microseconds // 1000 + _TTL_MILLISECONDS
        async with self._redis.pipeline() as pipe:
            pipe.zadd(self._owner_key(owner), {stream: expires_at}, xx=True)
            for key in (self._owner_key(owner), *_Keys.of_stream(self._prefix, stream).all):
                pipe.pexpire(key, _TTL_MILLISECONDS)
            await pipe.execute()

    async def send(self, stream: str, packet: Packet, number: int) -> None:
        """Send a frame or a piece of sound to the worker. `number`: number of the frame, from 1."""
        keys = _Keys.of_stream(self._prefix, stream)
        key, length = (keys.frames, 1) if packet.kind == "frame" else (keys.sound, MAX_BUFFERED_SOUNDS)
        fields: Any = {"n": number, "t": repr(packet.time), "d": packet.payload}
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, fields, maxlen=length, approximate=False)
            pipe.pexpire(key, _TTL_MILLISECONDS)
            await pipe.execute()

    async def receive(self, stream: str, last: str, seconds: float) -> tuple[ReceivedMessage, ...]:
        """Return the worker's messages after the message with the id `last` ("" at first). Waits up to `seconds` for
        the first one."""
        key = _Keys.of_stream(self._prefix, stream).messages
        block = max(1, round(seconds * 1000))
        reply = cast(Any, await self._redis.xread({key: last or _FIRST_MESSAGE_ID}, block=block))
        return tuple(
            ReceivedMessage(entry_id.decode(), fields[b"m"], int(fields[b"n"]) or None)
            for _, entries in reply
            for entry_id, fields in entries
        )

    async def close_stream(self, owner: str, stream: str) -> None:
        """Delete everything that belongs to a stream."""
        async with self._redis.pipeline() as pipe:
            pipe.delete(*_Keys.of_stream(self._prefix, stream).all)
            pipe.lrem(_waiting_key(self._prefix), 0, stream)
            pipe.zrem(self._owner_key(owner), stream)
            pipe.set(f"{self._prefix}erased", 1)
            await pipe.execute()

    def _owner_key(self, owner: str) -> str:
        return f"{self._prefix}live-of:{owner}"


@dataclass(frozen=True)
class NumberedFrame:
    """Frame with its number in the stream, from 1."""

    number: int
    packet: Packet


@dataclass(frozen=True)
class StreamInput:
    """New input of one stream: its newest frame, and all sound."""

    frame: NumberedFrame | None = None
    sounds: tuple[Packet, ...] = ()


@dataclass
class _Cursor:
    """Ids of the last entries that were read from a stream."""

    frames: str = "0"
    sound: str = "0"


@dataclass
class WorkerStreams:
    """The worker's side of the streams. Every method raises RedisError."""

    redis: Redis
    prefix: str = KEY_PREFIX
    _cursors: dict[str, _Cursor] = field(default_factory=dict)

    def accept(self) -> tuple[str, Options] | None:
        """Take over a stream that waits. Returns its id and options; None if none waits."""
        while waiting := cast(bytes | None, self.redis.lpop(_waiting_key(self.prefix))):
            stream = waiting.decode()
            options = cast(bytes | None, self.redis.get(self._keys(stream).options))
            if options is not None:
                self._cursors[stream] = _Cursor()
                return stream, Options.model_validate_json(options)
        return None

    def remove_closed(self) -> list[str]:
        """Release the accepted streams that have ended, and return their ids."""
        streams = list(self._cursors)
        if not streams:
            return []
        options = cast(Sequence[bytes | None], self.redis.mget([self._keys(stream).options for stream in streams]))
        closed = [stream for stream, value in zip(streams, options, strict=True) if value is None]
        for stream in closed:
            self.release(stream)
        return closed

    def release(self, stream: str) -> None:
        """Stop reading a stream, and have its remains removed from Redis's append-only file."""
        self._cursors.pop(stream, None)
        self.redis.set(f"{self.prefix}erased", 1)

    def receive(self, seconds: float) -> Mapping[str, StreamInput]:
        """Return the new input of all accepted streams. Waits up to `seconds` for the first."""
        sources: dict[str, tuple[str, str]] = {}
        positions: dict[str, str] = {}
        for stream, cursor in self._cursors.items():
            keys = self._keys(stream)
            sources |= {keys.frames: (stream, "frames"), keys.sound: (stream, "sound")}
            positions |= {keys.frames: cursor.frames, keys.sound: cursor.sound}
        reply = cast(Any, self.redis.xread(cast(Any, positions), block=max(1, round(seconds * 1000))))
        received: dict[str, dict[str, list[dict[bytes, bytes]]]] = {}
        for key, entries in reply:
            stream, part = sources[key.decode()]
            setattr(self._cursors[stream], part, entries[-1][0].decode())
            received.setdefault(stream, {})[part] = [fields for _, fields in entries]
        return {
            stream: _stream_input(parts.get("frames", []), parts.get("sound", [])) for stream, parts in received.items()
        }

    def send(self, stream: str, message: WorkerMessage, frame: int | None = None) -> None:
        """Send a message to the gateway, unless the stream has ended."""
        fields: Any = {"m": message.model_dump_json(), "n": frame or 0}
        key = self._keys(stream).messages
        self.redis.xadd(key, fields, maxlen=MAX_BUFFERED_MESSAGES, approximate=False, nomkstream=True)

    def _keys(self, stream: str) -> _Keys:
        return _Keys.of_stream(self.prefix, stream)


def _stream_input(frames: Sequence[dict[bytes, bytes]], sounds: Sequence[dict[bytes, bytes]]) -> StreamInput:
    frame = None
    if frames:
        newest = frames[-1]
        frame = NumberedFrame(int(newest[b"n"]), Packet("frame", float(newest[b"t"]), newest[b"d"]))
    return StreamInput(frame, tuple(Packet("sound", float(fields[b"t"]), fields[b"d"]) for fields in sounds))

"""Live streams in Redis: short, capped, and gone when the stream is.

Of frames only the newest lies there, so that a worker that is behind never works on an old one; of sound and of answers
the last few. Every key lapses by itself `LAPSE_SECONDS` after its gateway was last heard of. What the append-only file
still tells of it goes when that is next written anew, as of a deleted job.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ml.results import Options
from workers.protocol.live.messages import Ended, Packet, Ready, Update
from workers.protocol.settings import SharedSettings
from workers.protocol.store.job_store import KEY_PREFIX

STREAM_TTL_SECONDS = 15.0
STREAM_RENEW_SECONDS = 4.0
MAX_BUFFERED_SOUNDS = 64
MAX_BUFFERED_MESSAGES = 32
_LAPSE = round(STREAM_TTL_SECONDS * 1000)

# KEYS: the owner's streams, the new stream, its answers, the waiting. ARGV: id, most, lapse (ms), options.
_OPEN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
redis.call('XADD', KEYS[3], '1-0', 'opened', '')
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('RPUSH', KEYS[4], ARGV[1])
return 1
"""
_FIRST_ANSWER = "1-0"


@dataclass(frozen=True)
class _Keys:
    """Of one stream; `about` holds its options, and is there while it lives."""

    about: str
    frames: str
    sound: str
    answers: str

    @classmethod
    def of(cls, prefix: str, stream: str) -> "_Keys":
        return cls(*(f"{prefix}live:{stream}:{part}" for part in ("about", "frames", "sound", "answers")))

    @property
    def all(self) -> tuple[str, ...]:
        return self.about, self.frames, self.sound, self.answers


@dataclass(frozen=True)
class ReceivedMessage:
    """What a worker said; `frame`: the number of the frame that it is the first to know, null where there is none."""

    id: str
    message: bytes
    frame: int | None


class GatewayStreams:
    """The gateway's end. Belongs to one event loop. Everything raises RedisError."""

    def __init__(self, redis: AsyncRedis, prefix: str = KEY_PREFIX) -> None:
        self._redis, self._prefix = redis, prefix
        self._open = redis.register_script(_OPEN)

    @classmethod
    def connect(cls, settings: SharedSettings) -> Self:
        return cls(AsyncRedis.from_url(settings.redis_url, socket_timeout=None))  # it waits for answers

    async def close(self) -> None:
        await self._redis.aclose()

    async def open_stream(self, owner: str, options: Options, max_streams: int) -> str | None:
        """The id of a new stream, which waits for a worker; null where the owner has as many as may be."""
        stream = secrets.token_urlsafe(20)
        keys = _Keys.of(self._prefix, stream)
        places = [self._owned(owner), keys.about, keys.answers, f"{self._prefix}live:waiting"]
        opened = await self._open(places, [stream, max_streams, _LAPSE, options.model_dump_json()])
        return stream if opened else None

    async def renew_stream(self, owner: str, stream: str) -> None:
        """To be said again within `LAPSE_SECONDS`."""
        seconds, microseconds = await self._redis.time()
        until = seconds * 1000 + microseconds // 1000 + _LAPSE
        async with self._redis.pipeline() as pipe:
            pipe.zadd(self._owned(owner), {stream: until}, xx=True)
            for key in (self._owned(owner), *_Keys.of(self._prefix, stream).all):
                pipe.pexpire(key, _LAPSE)
            await pipe.execute()

    async def send(self, stream: str, packet: Packet, number: int) -> None:
        """Passes a frame or a piece of sound on. `number`: of frames, counted from 1."""
        keys = _Keys.of(self._prefix, stream)
        key, most = (keys.frames, 1) if packet.kind == "frame" else (keys.sound, MAX_BUFFERED_SOUNDS)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xadd(key, {"n": number, "t": repr(packet.time), "d": packet.payload}, maxlen=most, approximate=False)
            pipe.pexpire(key, _LAPSE)
            await pipe.execute()

    async def receive(self, stream: str, last: str, seconds: float) -> tuple[ReceivedMessage, ...]:
        """What the worker said after the answer `last`; waits up to so many seconds where there is nothing yet."""
        key = _Keys.of(self._prefix, stream).answers
        found = cast(Any, await self._redis.xread({key: last or _FIRST_ANSWER}, block=max(1, round(seconds * 1000))))
        return tuple(
            ReceivedMessage(name.decode(), fields[b"m"], int(fields[b"n"]) or None)
            for _, rows in found
            for name, fields in rows
        )

    async def close_stream(self, owner: str, stream: str) -> None:
        """Leaves nothing of it."""
        async with self._redis.pipeline() as pipe:
            pipe.delete(*_Keys.of(self._prefix, stream).all)
            pipe.lrem(f"{self._prefix}live:waiting", 0, stream)
            pipe.zrem(self._owned(owner), stream)
            pipe.set(f"{self._prefix}erased", 1)
            await pipe.execute()

    def _owned(self, owner: str) -> str:
        return f"{self._prefix}live-of:{owner}"


@dataclass(frozen=True)
class NumberedFrame:
    number: int
    packet: Packet


@dataclass(frozen=True)
class StreamInput:
    """What came of one stream: its newest frame, and all sound."""

    frame: NumberedFrame | None = None
    sounds: tuple[Packet, ...] = ()


@dataclass
class _Cursor:
    frames: str = "0"
    sound: str = "0"


@dataclass
class WorkerStreams:
    """The worker's end. Everything raises RedisError."""

    redis: Redis
    prefix: str = KEY_PREFIX
    _cursors: dict[str, _Cursor] = field(default_factory=dict)

    def accept(self) -> tuple[str, Options] | None:
        """A stream that waits; null when none does."""
        while stream := cast(bytes | None, self.redis.lpop(f"{self.prefix}live:waiting")):
            name = stream.decode()
            about = cast(bytes | None, self.redis.get(_Keys.of(self.prefix, name).about))
            if about is not None:
                self._cursors[name] = _Cursor()
                return name, Options.model_validate_json(about)
        return None

    def remove_closed(self) -> list[str]:
        """The adopted streams that have ended; they are let go."""
        names = list(self._cursors)
        abouts = (
            cast(Sequence[bytes | None], self.redis.mget([self._keys(name).about for name in names])) if names else ()
        )
        lost = [name for name, about in zip(names, abouts, strict=True) if about is None]
        for name in lost:
            self.release(name)
        return lost

    def release(self, stream: str) -> None:
        """Nothing of the stream is taken from now on; what a dead gateway left is written over."""
        self._cursors.pop(stream, None)
        self.redis.set(f"{self.prefix}erased", 1)

    def receive(self, seconds: float) -> Mapping[str, StreamInput]:
        """What came of all adopted streams since the last time; waits up to so many seconds for the first of it."""
        places: dict[str, tuple[str, str]] = {}
        wanted: dict[str, str] = {}
        for name, cursor in self._cursors.items():
            keys = self._keys(name)
            places |= {keys.frames: (name, "frames"), keys.sound: (name, "sound")}
            wanted |= {keys.frames: cursor.frames, keys.sound: cursor.sound}
        found = cast(Any, self.redis.xread(cast(Any, wanted), block=max(1, round(seconds * 1000))))
        arrived: dict[str, dict[str, list[dict[bytes, bytes]]]] = {}
        for key, rows in found:
            name, part = places[key.decode()]
            setattr(self._cursors[name], part, rows[-1][0].decode())
            arrived.setdefault(name, {})[part] = [fields for _, fields in rows]
        return {name: _arrival(parts.get("frames", []), parts.get("sound", [])) for name, parts in arrived.items()}

    def send(self, stream: str, message: Ready | Update | Ended, frame: int | None = None) -> None:
        """Answers; nothing happens where the stream has ended meanwhile."""
        fields: Any = {"m": message.model_dump_json(), "n": frame or 0}
        key = self._keys(stream).answers
        self.redis.xadd(key, fields, maxlen=MAX_BUFFERED_MESSAGES, approximate=False, nomkstream=True)

    def _keys(self, stream: str) -> _Keys:
        return _Keys.of(self.prefix, stream)


def _arrival(frames: Sequence[dict[bytes, bytes]], sounds: Sequence[dict[bytes, bytes]]) -> StreamInput:
    frame = None
    if frames:
        newest = frames[-1]
        frame = NumberedFrame(int(newest[b"n"]), Packet("frame", float(newest[b"t"]), newest[b"d"]))
    return StreamInput(frame, tuple(Packet("sound", float(row[b"t"]), row[b"d"]) for row in sounds))

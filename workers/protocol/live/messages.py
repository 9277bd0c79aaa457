"""Messages between the client of a live stream, the gateway and a live worker."""

import struct
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from ml.errors import AffectError
from ml.results import (
    AudioReading,
    Box,
    Certainty,
    FaceReading,
    FrozenModel,
    Notice,
    Options,
    Probabilities,
    Probability,
)
from ml.vocabulary import Modality
from workers.protocol.records import Failure

_HEADER = struct.Struct("<Bd")
SOUND_BYTES_PER_SECOND = 2 * 16_000
"""Bytes of a second of sound: 16 kHz, mono, 16 bits."""
PayloadKind = Literal["frame", "sound"]
_KINDS: dict[int, PayloadKind] = {1: "frame", 2: "sound"}


class MessageInvalid(AffectError):
    """Live message that violates the protocol."""

    code = "validation_failed"


@dataclass(frozen=True)
class Packet:
    """Binary message of a client. Byte 1 is 1 (`frame`, JPEG) or 2 (`sound`, PCM s16le, 16 kHz mono), bytes 2–9 are the
    time in seconds (float64, little-endian), the rest is the payload."""

    kind: PayloadKind
    time: float
    payload: bytes

    @property
    def sound_seconds(self) -> float:
        """Length of the sound in seconds."""
        return len(self.payload) / SOUND_BYTES_PER_SECOND

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Parse a binary message. Raises MessageInvalid."""
        if len(message) <= _HEADER.size:
            raise MessageInvalid("A binary message has a kind, a time and a payload.")
        kind, time = _HEADER.unpack_from(message)
        if kind not in _KINDS:
            raise MessageInvalid("The first byte of a binary message is 1 (JPEG) or 2 (PCM).")
        if not 0 <= time < 1e9:
            raise MessageInvalid("The time of a binary message is a number of seconds, not negative.")
        return cls(_KINDS[kind], time, message[_HEADER.size :])


class Start(FrozenModel):
    """First message of a client. A live stream uses the options in `ml.results.LIVE_OPTIONS`."""

    options: Options = Options()


class Ready(FrozenModel):
    """Message that a worker reads the stream: the client may send frames and sound."""

    type: Literal["ready"] = "ready"
    labels: tuple[str, ...]
    bundle: str
    warnings: tuple[Notice, ...] = ()


class Ended(FrozenModel):
    """Message that the worker ends the stream. `failure`: the reason; None if the worker shuts down."""

    type: Literal["ended"] = "ended"
    failure: Failure | None = None


class LiveFace(Certainty):
    """Face in the newest frame that was read. `box`: in pixels of that frame."""

    track: int
    box: Box
    score: Probability
    emotion: str
    probabilities: Probabilities


class LiveModalities(FrozenModel):
    face: FaceReading | None = None
    audio: AudioReading | None = None


class Update(Certainty):
    """Current reading: the last `window_seconds` fused, and the faces of the newest frame that was read.

    Sent at least once a second. `dropped`: number of frames since the start that were replaced by newer ones before
    they were read. `latency`: seconds from a frame's arrival to this update; None if no new frame was read.
    """

    type: Literal["update"] = "update"
    time: float = Field(description="Time of the newest frame or sound that was read, in seconds of the client.")
    width: int | None = Field(description="Width of the newest frame, in pixels.")
    height: int | None
    faces: tuple[LiveFace, ...]
    emotion: str | None
    confidence: Probability
    probabilities: Probabilities
    modalities: LiveModalities
    missing: tuple[Modality, ...]
    dropped: int
    latency: float | None = None


WorkerMessage = Annotated[Ready | Update | Ended, Field(discriminator="type")]
_WORKER_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(WorkerMessage)


def parse_worker_message(message: bytes) -> WorkerMessage:
    """Parse a message of a worker."""
    return _WORKER_MESSAGE.validate_json(message)

"""What crosses between a live stream's client, the gateway and a live worker."""

import struct
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter

from ml.errors import AffectError
from ml.results import AudioReading, Box, FaceReading, FrozenModel, Notice, Options, Probabilities, Probability
from ml.vocabulary import Modality
from workers.protocol.records import Failure

_HEADER = struct.Struct("<Bd")
PayloadKind = Literal["frame", "sound"]
_KINDS: dict[int, PayloadKind] = {1: "frame", 2: "sound"}


class MessageInvalid(AffectError):
    """A live message that is not of the protocol."""

    code = "validation_failed"


@dataclass(frozen=True)
class Packet:
    """A binary message: byte 1 is 1 (`frame`, JPEG) or 2 (`sound`, PCM s16le, 16 kHz mono), bytes 2–9 the time in
    seconds (float64, little-endian), the rest the payload."""

    kind: PayloadKind
    time: float
    payload: bytes

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Raises MessageInvalid."""
        if len(message) <= _HEADER.size:
            raise MessageInvalid("A binary message has a kind, a time and a payload.")
        kind, time = _HEADER.unpack_from(message)
        if kind not in _KINDS:
            raise MessageInvalid("The first byte of a binary message is 1 (JPEG) or 2 (PCM).")
        if not 0 <= time < 1e9:
            raise MessageInvalid("The time of a binary message is in seconds, from 0 on.")
        return cls(_KINDS[kind], time, message[_HEADER.size :])


class Start(FrozenModel):
    """The first message of a client. Live are `modalities` (face, audio), `classes`, `max_faces`, `window_seconds` and
    `frame_rate`, at which the window is sampled."""

    options: Options = Options()


class Ready(FrozenModel):
    """A worker reads the stream: frames and sound may come."""

    type: Literal["ready"] = "ready"
    labels: tuple[str, ...]
    bundle: str
    warnings: tuple[Notice, ...] = ()


class Ended(FrozenModel):
    """The worker lets the stream go: for a reason, or, without one, because it shuts down."""

    type: Literal["ended"] = "ended"
    failure: Failure | None = None


class LiveFace(FrozenModel):
    """A face of the newest frame that was read; the box in pixels of that frame."""

    track: int
    box: Box
    score: Probability
    emotion: str
    probabilities: Probabilities


class LiveModalities(FrozenModel):
    face: FaceReading | None = None
    audio: AudioReading | None = None


class Update(FrozenModel):
    """How things stand: the last `window_seconds` fused, and the faces of the newest frame that was read.

    At least once a second. `dropped` counts the frames since the start that newer ones overtook. `latency`: seconds
    from a frame's arrival to this update; null where no new frame was read.
    """

    type: Literal["update"] = "update"
    time: float = Field(description="Of the newest frame or sound that was read, in the client's seconds.")
    width: int | None = Field(description="Of the newest frame, pixels.")
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
_FROM_WORKER: TypeAdapter[Ready | Update | Ended] = TypeAdapter(WorkerMessage)


def parse_worker_message(message: bytes) -> Ready | Update | Ended:
    return _FROM_WORKER.validate_json(message)

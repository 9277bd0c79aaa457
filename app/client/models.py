"""What the service answers with. Fields that a newer service adds are kept, and can be read by their names."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Options = Mapping[str, Any]
"""As the README lists them, such as `{"hop_seconds": 1}`."""


class Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, serialize_by_alias=True)


class Fault(Told):
    """One thing that is wrong with a request."""

    location: str
    message: str
    index: int | None = None


class Problem(Told):
    """An error (RFC 9457)."""

    title: str
    status: int
    code: str
    detail: str | None = None
    instance: str | None = None
    request_id: str | None = None
    stage: str | None = None
    retryable: bool | None = None
    errors: tuple[Fault, ...] | None = None


class JobMedia(Told):
    """The file as the service received or fetched it."""

    name: str
    size: int
    sha256: str


class Job(Told):
    id: str
    status: JobStatus
    stage: str | None = None
    progress: float = 0.0
    position: int | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    media: JobMedia | None = None
    options: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    error: Problem | None = None
    links: dict[str, str | None] = {}

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")


class JobPage(Told):
    jobs: tuple[Job, ...]
    next_cursor: str | None = None


class Change(Told):
    """A job as it was after a change. `id`: of the event, with which reading may go on."""

    id: str
    status: JobStatus | Literal["deleted"]
    stage: str | None = None
    progress: float = 0.0


class Artifact(Told):
    """A file that was made beside the result."""

    name: str
    media_type: str
    size: int


class Attempt(Told):
    """One attempt at a webhook."""

    at: datetime
    seconds: float
    status: int | None
    error: str | None


class DeliveryLog(Told):
    """What became of a webhook."""

    state: Literal["none", "pending", "delivered", "failed"]
    next_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()


class Model(Told):
    role: str
    name: str
    version: int | None
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    licence: dict[str, Any] | None
    loaded: int


class Media(Told):
    kind: Literal["image", "audio", "video"]
    duration: float | None
    width: int | None
    height: int | None
    frame_rate: float | None
    has_audio: bool
    has_video: bool
    sha256: str


class Reading(Told):
    """Which emotion, and how sure; null without evidence."""

    emotion: str | None
    confidence: float
    probabilities: dict[str, float]


class FaceReading(Told):
    probabilities: dict[str, float]
    coverage: float


class AudioReading(Told):
    probabilities: dict[str, float]
    speech: float


class TextReading(Told):
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    transcript: str


class Modalities(Told):
    face: FaceReading | None = None
    audio: AudioReading | None = None
    text: TextReading | None = None


class Window(Reading):
    start: float
    end: float
    modalities: Modalities
    missing: tuple[str, ...]


class Box(Told):
    """Pixels of the original frame, after rotation."""

    x: float
    y: float
    width: float
    height: float


class FaceFrame(Told):
    time: float
    box: Box
    score: float
    emotion: str
    probabilities: dict[str, float]
    landmarks: tuple[tuple[float, float, float], ...] | None = None


class FaceTrack(Told):
    track: int
    frames: tuple[FaceFrame, ...]


class Word(Told):
    start: float
    end: float
    word: str


class Segment(Told):
    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


class Transcript(Told):
    source: str
    language: str | None
    text: str
    segments: tuple[Segment, ...] = ()


class ModelVersions(Told):
    bundle: str
    face: str | None
    audio: str | None
    text: str | None
    fusion: str | None
    whisper: str | None
    licence: str


class Moment(Told):
    """A place worth a look: a peak of one emotion, or a shift from one to another."""

    time: float
    kind: str
    from_: str | None = Field(alias="from")
    to: str
    score: float
    why: tuple[str, ...]


class Channel(Told):
    channel: int
    windows: tuple[Window, ...]
    overall: Reading


class Notice(Told):
    code: str
    message: str


class Result(Told):
    """The result document; times in seconds."""

    schema_version: str
    media: Media
    labels: tuple[str, ...]
    overall: Reading
    windows: tuple[Window, ...]
    faces: tuple[FaceTrack, ...]
    transcript: Transcript
    models: ModelVersions
    moments: tuple[Moment, ...] = ()
    channels: tuple[Channel, ...] | None = None
    warnings: tuple[Notice, ...] = ()
    timings: dict[str, float] = {}

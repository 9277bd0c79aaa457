"""The gateway's settings. Each is an environment variable with the prefix `AFFECT_`."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from app.http.multipart import UploadLimits
from app.http.security import ApiKey, is_loopback
from workers.protocol.net.ssrf import MOST_URL_CHARACTERS
from workers.protocol.settings import WireSettings
from workers.protocol.store.job_store import Quota


class Settings(WireSettings):
    host: str = Field("127.0.0.1", description="Address to listen at. One that others can reach needs `api_keys`.")
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode] = Field(
        (),
        description="`name:sha256,…`: who may call. Jobs belong to the name; keys may share one. None: loopback only.",
    )
    gateway_processes: int = Field(1, ge=1, le=64, description="Processes that answer at one port.")
    max_files: int = Field(20, ge=1, le=1000, description="Most files of one request.")
    max_transcript_bytes: int = Field(4_000_000, ge=1, description="Most bytes of a transcript that is sent along.")
    upload_idle_seconds: float = Field(60.0, gt=0, description="An upload that stands still for so long is given up.")

    requests_per_minute: int = Field(0, ge=0, description="Most requests of one key in a minute; 0: as many as come.")
    max_queued_per_key: int = Field(5_000, ge=1, description="Jobs of one key that may wait at once.")
    max_bytes_per_key: int = Field(
        100 * 2**30,
        ge=1,
        description="Bytes of uploads of one key that may be stored at once, by jobs that have not ended or keep them.",
    )
    idempotency_seconds: float = Field(
        86400.0, ge=86400, description="For which an `Idempotency-Key` stands for the jobs that were made with it."
    )

    live_per_key: int = Field(2, ge=1, description="Live streams of one key at once.")
    live_idle_seconds: float = Field(30.0, gt=0, description="A live stream that is silent for so long is closed.")
    live_message_bytes: int = Field(2**20, ge=1024, description="Most bytes of one live picture or piece of sound.")
    live_frame_rate: float = Field(15.0, gt=0, description="Live pictures a second that are passed on.")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(ApiKey.parse(entry) for entry in value.split(",") if entry.strip())

    @model_validator(mode="after")
    def _open_only_with_keys(self) -> Self:
        if not self.api_keys and not is_loopback(self.host):
            raise ValueError("AFFECT_HOST can be reached from elsewhere: set AFFECT_API_KEYS first")
        return self

    @model_validator(mode="after")
    def _one_process_shows_metrics_apart(self) -> Self:
        if self.gateway_processes > 1 and self.metrics_port is not None:
            raise ValueError("AFFECT_METRICS_PORT is for one process: leave it, or run several gateways instead")
        return self

    @property
    def quota(self) -> Quota:
        return Quota(self.max_queued_per_key, self.max_bytes_per_key)

    @property
    def upload_limits(self) -> UploadLimits:
        return UploadLimits(
            file_bytes=self.max_upload_bytes,
            files=self.max_files,
            fields={
                "url": 4 * MOST_URL_CHARACTERS,
                "source_job": 256,
                "options": 65_536,
                "transcript": self.max_transcript_bytes,
                "webhook_url": 4 * MOST_URL_CHARACTERS,
                "tag": 256,
            },
            idle_seconds=self.upload_idle_seconds,
        )

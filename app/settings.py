"""Settings of the gateway. Each is an environment variable with the prefix `AFFECT_`."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from app.keys import ApiKey
from app.loopback import is_loopback
from workers.protocol.settings import SharedSettings

MAX_CONNECTIONS = 4000
"""Maximum connections of one gateway process: each may wait for events of a job, for which `EventReader` has as many
connections to Redis."""


class Settings(SharedSettings):
    """Settings of one gateway."""

    host: str = Field(
        "127.0.0.1",
        description="Address that the gateway listens on. An address that other machines can reach needs `API_KEYS`.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port that the gateway listens on.")
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode] = Field(
        (),
        description="API keys, as `name:sha256`, comma-separated (`python -m app keys new NAME` creates one). Jobs "
        "belong to the name; several keys may share a name, to rotate them. Without keys only this machine may call.",
    )
    gateway_processes: int = Field(
        1, ge=1, le=64, description="Number of gateway processes that share the port. Several exclude `METRICS_PORT`."
    )
    max_files: int = Field(20, ge=1, le=1000, description="Maximum number of files in one request.")
    max_batch_items: int = Field(
        100,
        ge=1,
        le=1000,
        description="Maximum number of files, links and texts of one Hume-compatible job; files in archives count.",
    )
    max_transcript_bytes: int = Field(4_000_000, ge=1, description="Maximum bytes of a transcript sent with a file.")
    upload_idle_seconds: float = Field(
        60.0, gt=0, description="Seconds without any data after which an upload is aborted."
    )

    max_connections: int = Field(
        MAX_CONNECTIONS,
        ge=16,
        le=MAX_CONNECTIONS,
        description="Maximum number of open connections of one gateway process. A new one above it replaces the one "
        "that has waited longest for a request.",
    )
    head_seconds: float = Field(
        10.0, gt=0, description="Seconds in which the headers of a request must arrive, else the connection is closed."
    )
    unread_seconds: float = Field(
        60.0, ge=1, description="Seconds after which a client that reads nothing of its response is disconnected."
    )

    concurrent_per_key: int = Field(
        256,
        ge=1,
        description="Maximum number of concurrent requests of one caller at one gateway process, including those that "
        "wait: uploads, long polls, event streams, live streams.",
    )
    requests_per_minute: int = Field(
        0, ge=0, description="Maximum requests per minute of one caller (all keys of a name). 0: unlimited."
    )
    max_queued_per_key: int = Field(5_000, ge=1, description="Maximum number of waiting jobs of one caller.")
    max_bytes_per_key: int = Field(
        100 * 2**30,
        ge=1,
        description="Maximum bytes of stored uploads of one caller: those of unfinished jobs and of jobs with "
        "`keep_media`.",
    )
    idempotency_seconds: float = Field(
        86400.0, ge=86400, description="Seconds that an `Idempotency-Key` is remembered."
    )

    live_per_key: int = Field(2, ge=1, description="Maximum number of concurrent live streams of one caller.")
    live_idle_seconds: float = Field(
        30.0, gt=0, description="Seconds without a message after which a live stream is closed."
    )
    live_message_bytes: int = Field(2**20, ge=1024, description="Maximum bytes of one live frame or piece of audio.")
    live_bytes_per_second: int = Field(
        4 * 2**20,
        ge=1024,
        description="Maximum bytes per second that are read of one live stream; what exceeds it waits in the client.",
    )
    live_messages_per_second: int = Field(
        200, ge=1, description="Maximum messages per second, pings included, that are read of one live stream."
    )
    live_frame_rate: float = Field(
        15.0, gt=0, description="Maximum frames per second that a live stream passes on to the worker."
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(ApiKey.parse(entry) for entry in value.split(",") if entry.strip())

    @model_validator(mode="after")
    def _require_keys_unless_loopback(self) -> Self:
        if not self.api_keys and not is_loopback(self.host):
            raise ValueError("other machines can reach AFFECT_HOST: set AFFECT_API_KEYS first")
        return self

    @model_validator(mode="after")
    def _allow_metrics_port_for_one_process(self) -> Self:
        if self.gateway_processes > 1 and self.metrics_port is not None:
            raise ValueError(
                "AFFECT_METRICS_PORT needs AFFECT_GATEWAY_PROCESSES=1: leave it unset, or run several gateways"
            )
        return self

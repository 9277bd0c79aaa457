"""Settings that gateway and workers share. Each is an environment variable with the prefix `AFFECT_`."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from workers.protocol.settings_base import EnvSettings
from workers.protocol.webhooks.signing import WebhookSecret

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Network = IPv4Network | IPv6Network

LEASE_SECONDS = 15.0
"""Seconds of silence after which a worker is considered dead: default of a lease, and lifetime of a heartbeat."""


class SharedSettings(EnvSettings):
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis; unix:// and rediss:// work too.")
    redis_password: SecretStr | None = Field(None, description="Redis's password, where `redis_url` holds none.")
    data_dir: Path = Field(Path(".affect"), description="Where media and results lie unless `blob_url` says otherwise.")
    blob_url: str | None = Field(None, description="Any fsspec URL; null keeps blobs under `data_dir`.")
    min_free_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="Where a local disk has less room left, no upload is taken and no job begun.",
    )
    max_upload_bytes: int = Field(2 * 2**30, ge=1, description="Most bytes of the files of one request.")
    result_ttl: float = Field(7 * 86400.0, gt=0, description="Seconds that a finished job and its result are kept.")
    lease_seconds: float = Field(LEASE_SECONDS, gt=0, description="A worker silent for so long has lost its job.")
    max_attempts: int = Field(3, ge=1, description="Attempts at a job before it fails with `worker_lost`.")
    max_queued: int = Field(10_000, ge=1, description="Jobs that may wait, over all callers.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="A port of its own for Prometheus metrics; a worker shows them nowhere else."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of that port.")
    log_format: LogFormat = Field("auto", description="`json`, or `text` for people; `auto`: text on a terminal.")
    log_level: LogLevel = "INFO"
    log_details: bool = Field(
        False, description="Log the messages of unexpected errors too, which may quote what a caller sent."
    )
    traces: bool = Field(
        False, description="Send OpenTelemetry traces (extra `telemetry`) to where the OTEL_ variables say."
    )
    egress_allow: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Networks (CIDR, comma-separated) besides the public ones that links and webhooks may reach."
    )
    webhook_secrets: Annotated[tuple[WebhookSecret, ...], NoDecode] = Field(
        (),
        repr=False,
        description="`name:whsec_…,…`: what the webhooks of a caller are signed with; of several, with each. The one "
        "caller of a service without keys is `local`.",
    )

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _parse_secrets(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(WebhookSecret.parse(entry) for entry in value.split(",") if entry.strip())

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _log_in(self) -> Self:
        """`redis_url` with the password in it."""
        if self.redis_password is not None:
            url = urlsplit(self.redis_url)
            if url.scheme not in ("redis", "rediss") or url.password:
                raise ValueError("AFFECT_REDIS_PASSWORD goes with a redis:// or rediss:// URL that holds no password")
            secret = quote(self.redis_password.get_secret_value(), safe="")
            place = url.netloc.rpartition("@")[2]
            self.redis_url = url._replace(netloc=f"{url.username or ''}:{secret}@{place}").geturl()
            self.redis_password = None
        return self

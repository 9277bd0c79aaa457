"""Settings that gateway and workers share. Each is an environment variable with the prefix `AFFECT_`."""

import base64
import binascii
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from workers.protocol.settings_base import EnvSettings

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Network = IPv4Network | IPv6Network

LEASE_SECONDS = 15.0
"""Seconds of silence after which a worker is considered dead: default of a lease, and lifetime of a heartbeat."""
_KEY_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)


@dataclass(frozen=True)
class WebhookSecret:
    """Key that signs the webhooks of one caller."""

    name: str
    key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `name:whsec_…`, followed by 24 to 64 bytes in base64. Raises ValueError, which does not quote it."""
        name, _, secret = text.strip().partition(":")
        try:
            key = base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not name or not secret.startswith(_KEY_PREFIX) or len(key) not in _KEY_BYTES:
            raise ValueError("a webhook secret is written name:whsec_…, with 24 to 64 bytes in base64")
        return cls(name, key)


class SharedSettings(EnvSettings):
    """Settings that every process of the service reads."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="URL of Redis: `redis://`, `rediss://` (TLS) or `unix://`."
    )
    redis_password: SecretStr | None = Field(
        None, description="Password of Redis, if `AFFECT_REDIS_URL` contains none."
    )
    data_dir: Path = Field(
        Path(".affect"), description="Folder for media and results, unless `AFFECT_BLOB_URL` is set."
    )
    blob_url: str | None = Field(
        None, description="fsspec URL of the storage for media and results, such as `s3://BUCKET/FOLDER`."
    )
    min_free_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="Free bytes on the local disk below which uploads are rejected and jobs wait.",
    )
    max_upload_bytes: int = Field(
        2 * 2**30, ge=1, description="Maximum total size of the files of one request, in bytes."
    )
    result_ttl: float = Field(
        7 * 86400.0, gt=0, description="Seconds for which a finished job and its result are kept."
    )
    lease_seconds: float = Field(
        LEASE_SECONDS, gt=0, description="Seconds of silence after which a worker loses its job to another."
    )
    max_attempts: int = Field(
        3, ge=1, description="Attempts at a job with dying workers before it fails with `worker_lost`."
    )
    max_queued: int = Field(10_000, ge=1, description="Maximum number of queued jobs of all callers.")
    compute_per_key: int = Field(
        0,
        ge=0,
        description="Seconds of analysis that the jobs of one caller may use in an hour. Then new jobs are rejected "
        "and queued ones wait for the next hour. 0: unlimited.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Separate port for Prometheus metrics. A worker without it exposes none.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics port.")
    log_format: LogFormat = Field(
        "auto", description="Format of log lines: `json`, `text`, or `auto` (text on a terminal, else JSON)."
    )
    log_level: LogLevel = Field("INFO", description="Minimum level of log lines.")
    log_details: bool = Field(
        False, description="Log the messages of unexpected errors, which may quote what a caller sent."
    )
    traces: bool = Field(
        False, description="Send OpenTelemetry traces (extra `telemetry`), configured by the `OTEL_` variables."
    )
    egress_allow: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="Networks (CIDR, comma-separated) that links and webhooks may reach besides the public internet.",
    )
    webhook_secrets: Annotated[tuple[WebhookSecret, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Secrets that sign webhooks: `name:whsec_…,…`. `name` is the name of the caller's API key, or "
        "`local` if there are no keys. If a name has several secrets, its webhooks are signed with each of them.",
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
    def _insert_password(self) -> Self:
        """Insert `redis_password` into `redis_url`."""
        if self.redis_password is not None:
            url = urlsplit(self.redis_url)
            if url.scheme not in ("redis", "rediss") or url.password:
                raise ValueError(
                    "AFFECT_REDIS_PASSWORD requires a redis:// or rediss:// URL that holds no password itself"
                )
            secret = quote(self.redis_password.get_secret_value(), safe="")
            host = url.netloc.rpartition("@")[2]
            self.redis_url = url._replace(netloc=f"{url.username or ''}:{secret}@{host}").geturl()
            self.redis_password = None
        return self

"""Settings that gateway and workers share. Each is an environment variable with the prefix `AFFECT_`."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network


class WireSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="AFFECT_")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis; unix:// and rediss:// work too.")
    data_dir: Path = Field(Path(".affect"), description="Where media and results lie unless `blob_url` says otherwise.")
    blob_url: str | None = Field(None, description="Any fsspec URL; null keeps blobs under `data_dir`.")
    max_upload_bytes: int = Field(2 * 2**30, ge=1, description="Most bytes of the files of one request.")
    result_ttl: float = Field(7 * 86400.0, gt=0, description="Seconds that a finished job and its result are kept.")
    lease_seconds: float = Field(15.0, gt=0, description="A worker silent for so long has lost its job.")
    max_attempts: int = Field(3, ge=1, description="Attempts at a job before it fails with `worker_lost`.")
    max_queued: int = Field(10_000, ge=1, description="Jobs that may wait, over all callers.")
    egress_allow: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="Networks (CIDR, comma-separated) besides the public ones that links and webhooks may reach."
    )

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
